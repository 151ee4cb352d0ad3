// Layers of an image to a chain of snapshots.
//
// Blobs are fetched several at a time in the order they are needed. The layer whose turn it is when its download begins is
// unpacked from the very bytes that go to the content store; a later one from the content store, while others download.
// A layer is committed only when its blob has the digest that the manifest names and its tar the diffID that the config
// names, so another process that pulls the same image at the same time finds whole layers or none.
import PQueue from 'p-queue';
import { TsbuildError } from '../../solver/errors.ts';
import type { ContentStore } from '../content/content-store.ts';
import { decompress } from '../diff/archive.ts';
import { type ApplyResult, applyLayer } from '../diff/tar-applier.ts';
import type { ActiveSnapshot, SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import type { LayerBlobs } from '../store/layer-blobs.ts';
import { ChunkFeed, FeedAbandonedError } from './chunk-feed.ts';
import type { Descriptor } from './descriptor.ts';
import type { PulledSource, SourceLayer } from './image-source.ts';
import type { ImageStore } from './image-store.ts';
import type { LazyLayers } from './lazy-layers.ts';
import { type BlobProgress, fetchBlob } from './layer-transfer.ts';
import { checkLayerType } from './layer-type.ts';

interface ImagePullerOptions {
  readonly content: ContentStore;
  readonly snapshotter: Snapshotter;
  /** Where a pulled image is remembered. */
  readonly images: Pick<ImageStore, 'find' | 'save'>;
  readonly layerBlobs: Pick<LayerBlobs, 'save'>;
  /** Fills what is below the first layer that is unpacked. */
  readonly lazyLayers?: Pick<LazyLayers, 'unpackChain' | 'relocate'>;
  /** True in a user namespace. */
  readonly isRootless: boolean;
  readonly now?: () => number;
}

interface PullOptions {
  readonly signal?: AbortSignal;
  readonly emitProgress?: (progress: BlobProgress) => void;
  readonly warn?: (message: string) => void;
}

interface PendingLayer {
  readonly layer: SourceLayer;
  readonly blob: Descriptor;
  readonly feed: ChunkFeed;
  readonly fetched: Promise<void>;
}

interface PullContext extends Cancellation {
  readonly source: PulledSource;
  readonly emitProgress: (progress: BlobProgress) => void;
  readonly warn: (message: string) => void;
}

const PARALLEL_FETCHES = 3;

/** One for a build: pulls of one image at the same time are one. */
export class ImagePuller {
  readonly #options: ImagePullerOptions;
  readonly #pulls = new Map<string, Promise<SnapshotName | undefined>>();

  constructor(options: ImagePullerOptions) {
    this.#options = options;
  }

  /** The snapshot of the image's last layer, undefined when it has none. Throws TSB_IMAGE_…, TSB_REGISTRY_…, TSB_CONTENT_…, TSB_LAYER_…. */
  pull(source: PulledSource, options: PullOptions = {}): Promise<SnapshotName | undefined> {
    const key = `${source.identifier} ${source.configDigest}`;
    const running = this.#pulls.get(key) ?? this.#pull(source, options).finally(() => this.#pulls.delete(key));
    this.#pulls.set(key, running);
    return running;
  }

  async #pull(source: PulledSource, options: PullOptions): Promise<SnapshotName | undefined> {
    this.#relocate(source);
    const { parent, missing } = this.#findPresent(source.layers);
    const top =
      missing.length === 0
        ? parent
        : await withCancellation(options.signal, (cancellation) =>
            this.#pullLayers(missing, parent, contextOf(source, options, cancellation)),
          );
    if (source.isRemote && top !== undefined) this.#remember(source, top);
    return top;
  }

  /** What a cache promised of these layers is taken from the image itself: the cache may be gone, or lie. */
  #relocate({ layers, origin: { place } }: PulledSource): void {
    if (place === undefined) return;
    for (const { chainID, diffID, blob } of layers) {
      const name = blob && this.#options.snapshotter.findByChainID(chainID);
      if (blob !== undefined && name !== undefined) this.#options.lazyLayers?.relocate(name, { diffID, blob, place });
    }
  }

  /** The longest part of the chain that is here, and what comes on top of it. */
  #findPresent(layers: readonly SourceLayer[]): {
    readonly parent: SnapshotName | undefined;
    readonly missing: readonly SourceLayer[];
  } {
    const { snapshotter } = this.#options;
    for (const [n, { chainID, snapshot }] of [...layers.entries()].reverse()) {
      const isThere = snapshot !== undefined && snapshotter.exists(snapshot);
      const parent = isThere ? snapshot : snapshotter.findByChainID(chainID);
      if (parent !== undefined) return { parent, missing: layers.slice(n + 1) };
    }
    return { parent: undefined, missing: layers };
  }

  async #pullLayers(
    missing: readonly SourceLayer[],
    parent: SnapshotName | undefined,
    context: PullContext,
  ): Promise<SnapshotName | undefined> {
    let top = parent;
    const { signal, emitProgress, warn } = context;
    if (parent !== undefined) await this.#options.lazyLayers?.unpackChain(parent, { signal, emitProgress, warn });
    for (const pending of this.#startFetches(missing, context)) top = await this.#unpack(pending, top, context);
    return top;
  }

  #startFetches(layers: readonly SourceLayer[], context: PullContext): readonly PendingLayer[] {
    const { source, signal, emitProgress, started } = context;
    const { content } = this.#options;
    const queue = new PQueue({ concurrency: PARALLEL_FETCHES });
    const blobs = layers.map((layer) => ({ layer, blob: blobOf(layer, source) }));
    return blobs.map(({ layer, blob }, n) => {
      const feed = new ChunkFeed();
      if (n === 0) feed.want();
      const fetched = queue.add(() => fetchBlob({ content, origin: source.origin, blob, signal, emitProgress }, feed));
      // Whoever awaits it sees the failure; those that nobody awaits any more fail because of another one.
      fetched.catch(() => {});
      started.push(fetched);
      return { layer, blob, feed, fetched };
    });
  }

  async #unpack(pending: PendingLayer, parent: SnapshotName | undefined, context: PullContext): Promise<SnapshotName> {
    const { feed, fetched, blob } = pending;
    const { content } = this.#options;
    if (feed.want()) {
      try {
        return await this.#apply(pending, parent, feed, context);
      } catch (error) {
        feed.release();
        // Damaged bytes are first of all not those that were asked for, if they are not.
        if (isCorruption(error)) await fetched;
        if (!(error instanceof FeedAbandonedError)) throw error;
      }
    }
    await fetched;
    return this.#apply(pending, parent, content.open(blob.digest), context);
  }

  async #apply(
    { layer, blob, fetched }: PendingLayer,
    parent: SnapshotName | undefined,
    chunks: AsyncIterable<Uint8Array>,
    { source, signal, emitProgress, warn }: PullContext,
  ): Promise<SnapshotName> {
    const { snapshotter, isRootless } = this.#options;
    const id = `extracting ${blob.digest}`;
    const active = snapshotter.prepare(parent);
    try {
      emitProgress({ id, current: 0, total: blob.size, done: false });
      const applied = await applyLayer(decompress(chunks), active, { isRootless, signal });
      await fetched;
      if (applied.diffID !== layer.diffID) throw otherDiffID(source, layer, applied);
      for (const warning of applied.warnings) warn(`${source.reference}: ${warning}`);
      const name = this.#commit(active, layer, blob, applied);
      emitProgress({ id, current: blob.size, total: blob.size, done: true });
      return name;
    } catch (error) {
      snapshotter.discard(active);
      throw error;
    }
  }

  #commit(active: ActiveSnapshot, layer: SourceLayer, blob: Descriptor, applied: ApplyResult): SnapshotName {
    const { snapshotter, layerBlobs } = this.#options;
    const name = snapshotter.commit(active, { chainID: layer.chainID });
    snapshotter.setDiffID(name, layer.diffID, applied.sizeBytes);
    layerBlobs.save(layer.diffID, {
      mediaType: blob.mediaType,
      digest: blob.digest,
      sizeBytes: blob.size,
      isPulled: true,
    });
    return name;
  }

  #remember(source: PulledSource, top: SnapshotName): void {
    const { snapshotter, images, now = Date.now } = this.#options;
    const { tag, digest, manifestDigest, configDigest, platform } = source;
    const known = tag === undefined ? undefined : images.find(tag, platform);
    const isKnown = known?.tags.some((one) => one.reference === tag && one.resolvedDigest === digest);
    if (isKnown && known?.configDigest === configDigest) return;
    const snapshots = snapshotter.chain(top);
    const layers = source.layers.flatMap(({ diffID }, n) => {
      const snapshot = snapshots[n];
      return snapshot === undefined ? [] : [{ diffID, snapshot }];
    });
    const tags = tag === undefined ? [] : [{ reference: tag, resolvedDigest: digest }];
    const createdAtMs = Date.parse(source.config.created ?? '') || now();
    images.save(
      { configDigest, ...(manifestDigest && { manifestDigest }), layers, platform, createdAtMs, isBuilt: false },
      tags,
    );
  }
}

interface Cancellation {
  readonly signal: AbortSignal;
  /** What must have ended before the run has. */
  readonly started: Promise<unknown>[];
}

/** When one part fails, the others are ended, too, and nothing goes on behind the caller's back. */
async function withCancellation<T>(
  outer: AbortSignal | undefined,
  run: (cancellation: Cancellation) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const signal = outer === undefined ? controller.signal : AbortSignal.any([outer, controller.signal]);
  const started: Promise<unknown>[] = [];
  try {
    return await run({ signal, started });
  } finally {
    controller.abort();
    await Promise.allSettled(started);
  }
}

function contextOf(source: PulledSource, options: PullOptions, cancellation: Cancellation): PullContext {
  const { emitProgress = () => {}, warn = () => {} } = options;
  return { ...cancellation, source, emitProgress, warn };
}

function blobOf(layer: SourceLayer, source: PulledSource): Descriptor {
  if (layer.blob === undefined) {
    throw new TsbuildError('TSB_IMAGE_LAYER_GONE', `layer ${layer.diffID} of ${source.reference} is not in the store`, {
      hint: 'build that image again',
    });
  }
  checkLayerType(layer.blob, source.reference);
  return layer.blob;
}

function isCorruption(error: unknown): boolean {
  return error instanceof TsbuildError && error.code.startsWith('TSB_LAYER_');
}

function otherDiffID(source: PulledSource, layer: SourceLayer, { diffID }: ApplyResult): TsbuildError {
  return new TsbuildError(
    'TSB_IMAGE_DIFF_ID_MISMATCH',
    `${source.reference}: layer ${layer.blob?.digest ?? layer.diffID} has diffID ${diffID} instead of ${layer.diffID}`,
    { hint: 'manifest and config of the image contradict each other: push it anew, or use another one' },
  );
}
