// Layers that are known but not here: a committed snapshot with an empty directory, and beside it a note that says which
// blob fills it and where that is. Everything that asks about snapshots (chains, diffIDs, images) works as for any other;
// whoever needs the files calls `unpackChain` first, whoever needs the blob `fetchBlob`.
//
// The files appear in one rename, so another process sees none or all of them; the note goes last. A directory that has
// files and a note was filled by a process that ended in between.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import PQueue from 'p-queue';
import type { Digest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { ContentStore } from '../content/content-store.ts';
import { decompress } from '../diff/archive.ts';
import { applyLayer } from '../diff/tar-applier.ts';
import type { RegistryClient } from '../registry/registry-client.ts';
import type { SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import type { LayerBlobs } from '../store/layer-blobs.ts';
import type { Descriptor } from './descriptor.ts';
import type { BlobOrigin } from './image-source.ts';
import { type BlobProgress, fetchBlob } from './layer-transfer.ts';
import { checkLayerType } from './layer-type.ts';
import { OCILayout } from './oci-layout.ts';
import { RegistryOrigin } from './registry-origin.ts';

/** Where blobs can be had later: a registry's repository, or the directory of an OCI layout. */
export type LayerPlace =
  | { readonly kind: 'registry'; readonly domain: string; readonly path: string }
  | { readonly kind: 'layout'; readonly directory: string };

/** What fills a layer's directory. */
export interface LazyLayer {
  readonly diffID: Digest;
  readonly blob: Descriptor;
  readonly place: LayerPlace;
}

export interface NewLazyLayer extends LazyLayer {
  readonly chainID: Digest;
  readonly createdAtMs: number;
}

/** The note, which also knows what the layer stands on. */
interface LazyNote extends LazyLayer {
  readonly parent: SnapshotName | undefined;
}

export interface LazyLayersPorts {
  readonly content: ContentStore;
  readonly snapshotter: Snapshotter;
  readonly layerBlobs: Pick<LayerBlobs, 'save'>;
  /** Called when something must be fetched from a registry. */
  readonly registry: () => RegistryClient | Promise<RegistryClient>;
  /** True in a user namespace. */
  readonly isRootless: boolean;
}

export interface LazyFetchOptions {
  readonly signal?: AbortSignal;
  readonly emitProgress?: (progress: BlobProgress) => void;
  readonly warn?: (message: string) => void;
}

const NOTE = 'lazy.json';
const PARALLEL_FETCHES = 3;

/** What fills the snapshot's own directory, when its files are not here. */
export function lazyLayerOf(snapshotter: Snapshotter, name: SnapshotName): LazyLayer | undefined {
  return readNote(notePath(snapshotter.layerDirs(name).upperDir));
}

/** One for a build: what several ask for at the same time is fetched once. */
export class LazyLayers {
  readonly #ports: LazyLayersPorts;
  readonly #unpacked = new Map<string, Promise<void>>();

  constructor(ports: LazyLayersPorts) {
    this.#ports = ports;
  }

  /** The snapshot of the layer on `parent`: one that is here, or a new one without files. */
  create(parent: SnapshotName | undefined, layer: NewLazyLayer): SnapshotName {
    const { snapshotter, layerBlobs } = this.#ports;
    const { chainID, createdAtMs, diffID, blob, place } = layer;
    const known = snapshotter.findByChainID(chainID);
    if (known !== undefined) return known;
    const active = snapshotter.prepare(parent);
    const note: LazyNote = { diffID, blob, place, parent };
    writeFileSync(notePath(active.upperDir), JSON.stringify(note));
    const name = snapshotter.commit(active, { chainID, createdAtMs });
    if (snapshotter.diffIDOf(name) === undefined) snapshotter.setDiffID(name, diffID, 0);
    layerBlobs.save(diffID, {
      mediaType: blob.mediaType,
      digest: blob.digest,
      sizeBytes: blob.size,
      isPulled: true,
    });
    return name;
  }

  /** What is not here of the snapshot's own layer. */
  find(name: SnapshotName): LazyLayer | undefined {
    return lazyLayerOf(this.#ports.snapshotter, name);
  }

  /** Brings the blob of the snapshot's own layer into the content store, if its files are not here. Throws TSB_REGISTRY_…, TSB_LAYOUT_…. */
  async fetchBlob(name: SnapshotName, options: LazyFetchOptions = {}): Promise<void> {
    const lazy = this.find(name);
    if (lazy !== undefined) await this.#fetch(lazy, options);
  }

  /** Makes sure that all files from the oldest parent to the snapshot are here. Throws TSB_REGISTRY_…, TSB_LAYOUT_…, TSB_LAYER_…. */
  async unpackChain(name: SnapshotName, options: LazyFetchOptions = {}): Promise<void> {
    const { snapshotter } = this.#ports;
    const missing = snapshotter.chain(name).filter((one) => this.find(one) !== undefined);
    if (missing.length === 0) return;
    const queue = new PQueue({ concurrency: PARALLEL_FETCHES });
    const fetches = missing.map((one) => queue.add(() => this.fetchBlob(one, options)));
    for (const fetch of fetches) fetch.catch(() => undefined);
    try {
      for (const [index, one] of missing.entries()) {
        await fetches[index];
        await this.#unpackOnce(one, options);
      }
    } finally {
      queue.clear();
      await queue.onIdle();
    }
  }

  #unpackOnce(name: SnapshotName, options: LazyFetchOptions): Promise<void> {
    const { upperDir } = this.#ports.snapshotter.layerDirs(name);
    const known = this.#unpacked.get(upperDir) ?? this.#unpack(name, upperDir, options);
    this.#unpacked.set(upperDir, known);
    // The next one who asks tries again.
    known.catch(() => this.#unpacked.delete(upperDir));
    return known;
  }

  async #unpack(name: SnapshotName, upperDir: string, options: LazyFetchOptions): Promise<void> {
    const { content, snapshotter, isRootless } = this.#ports;
    const note = readNote(notePath(upperDir));
    if (note === undefined) return;
    const { blob, diffID, parent } = note;
    // Its parent may have been unpacked as another snapshot with the same directory, or not at all.
    if (parent !== undefined) await this.unpackChain(parent, options);
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
      rmSync(notePath(upperDir), { force: true });
    } finally {
      snapshotter.discard(active);
    }
    emitProgress({ id, current: blob.size, total: blob.size, done: true });
  }

  async #fetch({ blob, place }: LazyLayer, options: LazyFetchOptions): Promise<void> {
    const { content } = this.#ports;
    const { emitProgress = () => undefined, signal = NEVER } = options;
    checkLayerType(blob, placeText(place));
    if (content.sizeOf(blob.digest) === blob.size) return;
    await fetchBlob({ content, origin: this.#originOf(place), blob, signal, emitProgress });
  }

  #originOf(place: LayerPlace): BlobOrigin {
    return openPlace(place, this.#ports.registry);
  }
}

/** The place as the origin of blobs and manifests. */
export function openPlace(place: LayerPlace, registry: LazyLayersPorts['registry']): BlobOrigin {
  return place.kind === 'layout' ? new OCILayout(place.directory) : new RegistryOrigin(registry, place);
}

/** The place as messages name it. */
export function placeText(place: LayerPlace): string {
  return place.kind === 'layout' ? `OCI layout "${place.directory}"` : `${place.domain}/${place.path}`;
}

const NEVER = new AbortController().signal;

function notePath(upperDir: string): string {
  return join(dirname(upperDir), NOTE);
}

function readNote(path: string): LazyNote | undefined {
  if (!existsSync(path)) return undefined;
  try {
    // Written by `create` only.
    return JSON.parse(readFileSync(path, 'utf8')) as LazyNote;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Another process may have been faster: then its files stay. */
function moveInto(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

function otherDiffID({ blob, place, diffID }: LazyLayer, found: Digest): TsbuildError {
  return new TsbuildError(
    'TSB_IMAGE_DIFF_ID_MISMATCH',
    `${placeText(place)}: layer ${blob.digest} has diffID ${found} instead of ${diffID}`,
    { hint: 'the cache is damaged: export it anew, and build without it' },
  );
}
