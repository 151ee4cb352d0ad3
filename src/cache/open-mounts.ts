// The cache mounts that a build uses, opened for who exports them.
import type { Definition } from '../../solver/definition.ts';
import { CacheMounts, mountName } from '../ops/cache-mounts.ts';
import type { ExportedMount } from './export-mounts.ts';

/** Nobody else uses them until `release`. */
export interface OpenedMounts {
  readonly mounts: readonly ExportedMount[];
  release(): void;
}

interface OpenMountsOptions {
  /** Of the cache, for warnings. */
  readonly name: string;
  readonly warn: (message: string) => void;
}

/**
 * All that begin empty. One that begins with the files of a stage is left out: what is kept of it are changes to what is on
 * this machine only.
 */
export function openMounts(
  storeRoot: string,
  definitions: readonly Definition[],
  { name, warn }: OpenMountsOptions,
): OpenedMounts {
  const { own, seeded } = mountsOf(definitions);
  for (const id of seeded)
    warn(`the cache mount "${mountName(id)}" begins with files of an image or stage: it is not exported to ${name}`);
  const room = new CacheMounts(storeRoot);
  const releases: (() => void)[] = [];
  const mounts = [...own].map((id): ExportedMount => {
    const opened = room.openIdle(id);
    if (opened === 'busy') warn(`another build uses the cache mount "${mountName(id)}": it stays in ${name} as it was`);
    if (opened === undefined || opened === 'busy') return { id, directory: undefined };
    releases.push(opened.release);
    return { id, directory: opened.upperDir };
  });
  return {
    mounts,
    release: () => {
      for (const release of releases) release();
    },
  };
}

function mountsOf(definitions: readonly Definition[]): {
  readonly own: ReadonlySet<string>;
  readonly seeded: ReadonlySet<string>;
} {
  const own = new Set<string>();
  const seeded = new Set<string>();
  for (const { op } of definitions.flatMap(({ vertices }) => vertices)) {
    if (op.kind !== 'exec') continue;
    for (const { type, input, dest, cache } of op.mounts) {
      if (type === 'cache') (input < 0 ? own : seeded).add(cache?.id ?? dest);
    }
  }
  return { own, seeded };
}
