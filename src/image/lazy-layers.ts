// Layers that are known but not here: a committed snapshot with an empty directory, and beside it a note that says which
// blob fills it and where that is. Everything that asks about snapshots (chains, diffIDs, images) works as for any other;
// whoever needs the files calls `unpackChain` first, whoever needs the blob `fetchBlob`.
//
// The files appear in one rename, so another process sees none or all of them; the note goes last. A directory that has
// files and a note was filled by a process that ended in between.
import { isDeepStrictEqual } from 'node:util';
import type { Digest } from '../../solver/digest.ts';
import type { ContentStore } from '../content/content-store.ts';
import { late } from '../late.ts';
import type { RegistryClient } from '../registry/registry-client.ts';
import type { S3Access } from '../s3/s3-access.ts';
import type { SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import type { LayerBlobs } from '../store/layer-blobs.ts';
import type { BlobProgress } from './layer-transfer.ts';
import { type LayerPlace, type LazyLayer, readLazyNote, replaceLazyNote, writeLazyNote } from './lazy-note.ts';
import type { Loss, LostLayers } from './lost-layers.ts';
import { OCILayout } from './oci-layout.ts';

/** One to be known; `createdAtMs` is when it was made elsewhere. */
export interface NewLazyLayer extends LazyLayer {
  readonly chainID: Digest;
  readonly createdAtMs: number;
}

/** Clients are made when something has to be fetched: most builds need none. */
export interface LazyLayersPorts {
  readonly content: ContentStore;
  readonly snapshotter: Snapshotter;
  readonly layerBlobs: Pick<LayerBlobs, 'save'>;
  /** Called when something must be fetched from a registry. */
  readonly registry: () => RegistryClient | Promise<RegistryClient>;
  /** Called when something must be fetched from a bucket. */
  readonly s3?: () => Promise<S3Access>;
  /** Learns of fetches that fail. */
  readonly lost?: LostLayers;
  /** True in a user namespace. */
  readonly isRootless: boolean;
}

/** Aborting leaves no snapshot half filled. */
export interface LazyFetchOptions {
  readonly signal?: AbortSignal;
  readonly emitProgress?: (progress: BlobProgress) => void;
  readonly warn?: (message: string) => void;
}

/** The first one of a chain. */
interface LostLayer extends Loss {
  readonly place: LayerPlace;
}

/** One for a build: what several ask for at the same time is fetched once. */
export class LazyLayers {
  readonly #ports: LazyLayersPorts;
  /** Snapshots all of whose files are here, down to the oldest parent. */
  readonly #complete = new Set<SnapshotName>();
  readonly #filler = late(async () => new (await import('./layer-filler.ts')).LayerFiller(this.#ports));

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
    writeLazyNote(active.upperDir, { diffID, blob, place, ...(parent !== undefined && { parent }) });
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

  /** The bytes of the layer are to come from there, if they are not here: an image that is asked for knows best what is in it. */
  relocate(name: SnapshotName, { diffID, blob, place }: LazyLayer): void {
    const { snapshotter, layerBlobs } = this.#ports;
    const upperDir = snapshotter.changesDir(name);
    const note = readLazyNote(upperDir);
    if (
      note === undefined ||
      note.diffID !== diffID ||
      isDeepStrictEqual({ blob, place }, { blob: note.blob, place: note.place })
    )
      return;
    replaceLazyNote(upperDir, { ...note, blob, place });
    layerBlobs.save(diffID, { mediaType: blob.mediaType, digest: blob.digest, sizeBytes: blob.size, isPulled: true });
  }

  /** What is known to be lost of the chain's bytes. */
  lossOf(name: SnapshotName): LostLayer | undefined {
    const { lost } = this.#ports;
    if (lost === undefined) return undefined;
    for (const one of this.#uncheckedChain(name)) {
      const lazy = this.find(one);
      const loss = lazy && !this.#isFetched(lazy) ? lost.find(lazy) : undefined;
      if (lazy !== undefined && loss !== undefined) return { ...loss, place: lazy.place };
    }
    return undefined;
  }

  /** False when a file is known to be lost that the chain needs. A registry is not asked. */
  canUnpack(name: SnapshotName): boolean {
    let isComplete = true;
    for (const one of this.#uncheckedChain(name)) {
      const lazy = this.find(one);
      if (lazy !== undefined && !this.#mayBeThere(lazy)) return false;
      isComplete &&= lazy === undefined;
      if (isComplete) this.#complete.add(one);
    }
    return true;
  }

  #mayBeThere(lazy: LazyLayer): boolean {
    const { blob, place } = lazy;
    if (this.#isFetched({ blob })) return true;
    if (place.kind === 'layout') return new OCILayout(place.directory).holds(blob);
    return this.#ports.lost?.find(lazy) === undefined;
  }

  #isFetched({ blob }: Pick<LazyLayer, 'blob'>): boolean {
    return this.#ports.content.sizeOf(blob.digest) === blob.size;
  }

  /** What is not here of the snapshot's own layer. */
  find(name: SnapshotName): LazyLayer | undefined {
    return readLazyNote(this.#ports.snapshotter.changesDir(name));
  }

  /** Brings the blob of the snapshot's own layer into the content store, if its files are not here. Throws TSB_REGISTRY_…, TSB_LAYOUT_…. */
  async fetchBlob(name: SnapshotName, options: LazyFetchOptions = {}): Promise<void> {
    const lazy = this.find(name);
    if (lazy !== undefined) await (await this.#filler.get()).fetch(lazy, options);
  }

  /** Makes sure that all files from the oldest parent to the snapshot are here. Throws TSB_REGISTRY_…, TSB_LAYOUT_…, TSB_LAYER_…. */
  async unpackChain(name: SnapshotName, options: LazyFetchOptions = {}): Promise<void> {
    const chain = this.#uncheckedChain(name);
    const missing = chain.filter((one) => this.find(one) !== undefined);
    if (missing.length > 0) await (await this.#filler.get()).fill(missing, options);
    for (const one of chain) this.#complete.add(one);
  }

  /** Parents first. Files that are here stay as long as the build, which may ask once for each of its many steps. */
  #uncheckedChain(name: SnapshotName): readonly SnapshotName[] {
    const chain: SnapshotName[] = [];
    let next: SnapshotName | undefined = name;
    while (next !== undefined && !this.#complete.has(next)) {
      chain.push(next);
      next = this.#ports.snapshotter.parentOf(next);
    }
    return chain.reverse();
  }
}
