// Cache mounts of the imported caches, for steps that find theirs empty. What cannot be restored is a warning.
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import type { BuildWorld } from '../build-world.ts';
import { openPlace } from '../image/layer-filler.ts';
import { mountName } from '../ops/cache-mounts.ts';
import { reportStep } from '../progress/report-step.ts';
import type { Session } from '../session.ts';
import type { ImportedCache } from './imported-cache.ts';
import type { MountFiles, MountIndex } from './mount-index.ts';
import { fetchMountIndex, type MountSource, restoreMount } from './restore-mount.ts';

interface FoundMount {
  readonly source: MountSource;
  readonly index: MountIndex;
  readonly files: MountFiles;
}

/** One for a build: each index is fetched once. */
export class MountRestorer {
  readonly #sources: readonly MountSource[];
  readonly #session: Session;
  readonly #indexes = new Map<MountSource, Promise<MountIndex | undefined>>();

  constructor(caches: readonly ImportedCache[], world: Pick<BuildWorld, 'registry' | 's3'>, session: Session) {
    this.#session = session;
    this.#sources = caches.flatMap(({ name, place, mountIndex: index }) =>
      index === undefined ? [] : [{ name, origin: openPlace(place, world), index }],
    );
  }

  /** Puts the mount's files in the place of `directory`, from the first cache that has any. See RestoreMount. */
  async restore(id: string, directory: string, signal: AbortSignal): Promise<void> {
    const found = await this.#find(id, signal);
    if (found === undefined) return;
    const { name } = found.source;
    try {
      await reportStep(this.#session.emit, `importing cache mount ${mountName(id)} from ${name}`, () =>
        this.#restore(found, directory, signal),
      );
    } catch (error) {
      signal.throwIfAborted();
      this.#session.warn(`cannot import the cache mount "${mountName(id)}" from ${name}: ${reasonOf(error)}`);
    }
  }

  async #find(id: string, signal: AbortSignal): Promise<FoundMount | undefined> {
    for (const source of this.#sources) {
      const index = await this.#indexOf(source, signal);
      const files = index?.mounts.find((one) => one.id === id);
      if (index !== undefined && files !== undefined) return { source, index, files };
    }
    return undefined;
  }

  #indexOf(source: MountSource, signal: AbortSignal): Promise<MountIndex | undefined> {
    const known = this.#indexes.get(source) ?? this.#fetchIndex(source, signal);
    this.#indexes.set(source, known);
    return known;
  }

  async #fetchIndex(source: MountSource, signal: AbortSignal): Promise<MountIndex | undefined> {
    try {
      return await fetchMountIndex(source, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#session.warn(`cannot import the cache mounts of ${source.name}: ${reasonOf(error)}`);
      return undefined;
    }
  }

  async #restore({ source, index, files }: FoundMount, directory: string, signal: AbortSignal): Promise<void> {
    const temporary = this.#session.store.content.temporaryPath();
    try {
      mkdirSync(temporary, { mode: 0o755 });
      await restoreMount(source, index, files, { directory: temporary, signal });
      renameSync(temporary, directory);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  }
}

/** Also of a full disk and the like: a build can do without the mount. */
function reasonOf(error: unknown): string {
  if (error instanceof TsbuildError) return error.message;
  if (error instanceof Error && 'code' in error) return error.message;
  throw error;
}
