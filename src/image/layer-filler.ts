// Fills lazy layers: fetches blobs, several at a time, and unpacks them in their order beside the store's directories.
import { renameSync, rmSync } from 'node:fs';
import PQueue from 'p-queue';
import type { Digest } from '../../solver/digest.ts';
import { TsbuildError, unreachable } from '../../solver/errors.ts';
import { decompress } from '../diff/archive.ts';
import { applyLayer } from '../diff/tar-applier.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import { codeOf } from '../sys/error-code.ts';
import type { BlobOrigin } from './image-source.ts';
import { fetchBlob } from './layer-transfer.ts';
import { checkLayerType } from './layer-type.ts';
import type { LazyFetchOptions, LazyLayersPorts } from './lazy-layers.ts';
import { type LayerPlace, type LazyLayer, lazyNotePath, placeText, readLazyNote } from './lazy-note.ts';
import { OCILayout } from './oci-layout.ts';
import { patientOrigin } from './patient-origin.ts';
import { RegistryOrigin } from './registry-origin.ts';
import { S3Origin } from '../s3/s3-origin.ts';

const PARALLEL_FETCHES = 3;

/** How long a cached layer may keep a build waiting without a byte: most steps can be run again in that time. */
const PATIENCE_MS = 30_000;

/** See LazyLayers. */
export class LayerFiller {
  readonly #ports: LazyLayersPorts;
  readonly #unpacked = new Map<string, Promise<void>>();

  constructor(ports: LazyLayersPorts) {
    this.#ports = ports;
  }

  /** Brings the blob into the content store. */
  async fetch(lazy: LazyLayer, options: LazyFetchOptions): Promise<void> {
    const { blob, place } = lazy;
    const { content, lost } = this.#ports;
    const { emitProgress = () => undefined, signal = NEVER } = options;
    checkLayerType(blob, placeText(place));
    if (content.sizeOf(blob.digest) === blob.size) return;
    const origin = patientOrigin(openPlace(place, this.#ports), placeText(place), PATIENCE_MS);
    try {
      await fetchBlob({ content, origin, blob, signal, emitProgress });
    } catch (error) {
      if (!signal.aborted) lost?.add(lazy, error);
      throw error;
    }
  }

  /** Brings the files of the snapshots, parents first. */
  async fill(names: readonly SnapshotName[], options: LazyFetchOptions): Promise<void> {
    const queue = new PQueue({ concurrency: PARALLEL_FETCHES });
    let failure: { readonly reason: unknown } | undefined;
    const fetches = names.map((name) =>
      queue.add(async () => {
        // The place may be down: the rest is not begun.
        if (failure !== undefined) throw failure.reason;
        const lazy = readLazyNote(this.#ports.snapshotter.changesDir(name));
        try {
          if (lazy !== undefined) await this.fetch(lazy, options);
        } catch (reason) {
          failure ??= { reason };
          throw reason;
        }
      }),
    );
    for (const fetch of fetches) fetch.catch(() => undefined);
    try {
      for (const [index, name] of names.entries()) {
        await fetches[index];
        await this.#unpackOnce(name, options);
      }
    } finally {
      queue.clear();
      await queue.onIdle();
    }
  }

  #unpackOnce(name: SnapshotName, options: LazyFetchOptions): Promise<void> {
    const upperDir = this.#ports.snapshotter.changesDir(name);
    const known = this.#unpacked.get(upperDir) ?? this.#unpack(name, upperDir, options);
    this.#unpacked.set(upperDir, known);
    // The next one who asks tries again.
    known.catch(() => this.#unpacked.delete(upperDir));
    return known;
  }

  async #unpack(name: SnapshotName, upperDir: string, options: LazyFetchOptions): Promise<void> {
    const { content, snapshotter, isRootless } = this.#ports;
    const note = readLazyNote(upperDir);
    if (note === undefined) return;
    const { blob, diffID, parent } = note;
    // Its parent may have been unpacked as another snapshot with the same directory, or not at all.
    if (parent !== undefined) await this.#fillBelow(parent, options);
    const { emitProgress = () => undefined, signal = NEVER, warn = () => undefined } = options;
    const id = `extracting ${blob.digest}`;
    emitProgress({ id, current: 0, total: blob.size, done: false });
    const active = snapshotter.prepare(parent);
    try {
      const applied = await applyLayer(decompress(content.open(blob.digest)), active, { isRootless, signal });
      if (applied.diffID !== diffID) throw otherDiffID(note, applied.diffID);
      for (const warning of applied.warnings) warn(warning);
      moveInto(active.upperDir, upperDir);
      snapshotter.setDiffID(name, diffID, applied.sizeBytes);
      rmSync(lazyNotePath(upperDir), { force: true });
    } finally {
      snapshotter.discard(active);
    }
    emitProgress({ id, current: blob.size, total: blob.size, done: true });
  }

  async #fillBelow(parent: SnapshotName, options: LazyFetchOptions): Promise<void> {
    const missing = this.#ports.snapshotter
      .chain(parent)
      .filter((name) => readLazyNote(this.#ports.snapshotter.changesDir(name)));
    if (missing.length > 0) await this.fill(missing, options);
  }
}

/** The place as the origin of blobs and manifests. */
export function openPlace(
  place: LayerPlace,
  { registry, s3 = notConnected }: Pick<LazyLayersPorts, 'registry' | 's3'>,
): BlobOrigin {
  switch (place.kind) {
    case 'layout':
      return new OCILayout(place.directory);
    case 'registry':
      return new RegistryOrigin(registry, place);
    case 's3':
      return new S3Origin(s3, place.bucket, place.prefix);
    default:
      return unreachable(place);
  }
}

async function notConnected(): Promise<never> {
  throw new Error('internal error: a layer in a bucket, and no way to it');
}

const NEVER = new AbortController().signal;

/** Another process may have been faster: then its files stay. */
function moveInto(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

function otherDiffID({ blob, place, diffID }: LazyLayer, found: Digest): TsbuildError {
  return new TsbuildError(
    'TSB_IMAGE_DIFF_ID_MISMATCH',
    `${placeText(place)}: layer ${blob.digest} has diffID ${found} instead of ${diffID}`,
    { hint: 'the cache is damaged: build with --no-cache, and export it anew' },
  );
}
