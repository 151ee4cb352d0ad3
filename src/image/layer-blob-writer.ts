// The blob of a layer: found in the store, or compressed now because somebody needs its bytes, and remembered.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { digestFromHex, type Digest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { ContentStore } from '../content/content-store.ts';
import { writeLayer } from '../diff/layer-tar.ts';
import type { Snapshotter } from '../snapshot/snapshotter.ts';
import type { LayerBlob, LayerBlobs } from '../store/layer-blobs.ts';
import { storeError } from '../store/store-errors.ts';
import { writeAll } from '../sys/write-all.ts';
import { compress, type Compression, type CompressOptions } from './compress.ts';
import { type Descriptor, MEDIA_TYPES } from './descriptor.ts';
import type { ImageLayer } from './image-store.ts';

/** The rooms of the store that writing an image needs. */
export interface ImageRooms {
  readonly root: string;
  readonly content: ContentStore;
  readonly snapshotter: Snapshotter;
  readonly layerBlobs: LayerBlobs;
}

/** In which form a layer is wanted; a blob of that form that is here is taken as it is. */
export interface LayerBlobOptions extends CompressOptions {
  /** Compress also what was pulled in another form. */
  readonly isForced?: boolean;
  readonly signal?: AbortSignal;
}

const LAYER_TYPES: Readonly<Record<Compression, string>> = {
  gzip: MEDIA_TYPES.ociLayerGzip,
  zstd: MEDIA_TYPES.ociLayerZstd,
  uncompressed: MEDIA_TYPES.ociLayer,
};

/** Docker's media types of layers and the OCI ones of the same bytes. */
const DOCKER_TYPES: ReadonlyMap<string, string> = new Map([
  [MEDIA_TYPES.dockerLayerGzip, MEDIA_TYPES.ociLayerGzip],
  [MEDIA_TYPES.dockerLayer, MEDIA_TYPES.ociLayer],
]);

/**
 * A descriptor of the layer whose blob is in the content store. A pulled layer keeps its original blob. Throws
 * TSB_LAYER_CHANGED when the snapshot's files no longer make the layer.
 */
export async function ensureLayerBlob(
  rooms: ImageRooms,
  layer: ImageLayer,
  options: LayerBlobOptions,
): Promise<Descriptor> {
  const mediaType = layerMediaType(options.compression);
  const known = rooms.layerBlobs
    .list(layer.diffID)
    .filter((blob) => rooms.content.sizeOf(blob.digest) === blob.sizeBytes);
  const wanted = known.find((blob) => ociLayerType(blob.mediaType) === mediaType);
  const pulled = options.isForced === true ? undefined : known.find((blob) => blob.isPulled === true);
  // Who else wrote a layer may have written its tar otherwise than we do: its bytes are those of the blob, not of the files.
  const original = known.find((blob) => blob.isPulled === true);
  const blob = wanted ?? pulled ?? (await writeBlob(rooms, layer, mediaType, options, original));
  return { mediaType: ociLayerType(blob.mediaType), digest: blob.digest, size: blob.sizeBytes };
}

/** Of a layer compressed so. */
export function layerMediaType(compression: Compression): string {
  return LAYER_TYPES[compression];
}

/** The OCI media type of the same bytes. */
export function ociLayerType(mediaType: string): string {
  return DOCKER_TYPES.get(mediaType) ?? mediaType;
}

async function writeBlob(
  rooms: ImageRooms,
  layer: ImageLayer,
  mediaType: string,
  options: LayerBlobOptions,
  original: LayerBlob | undefined,
): Promise<LayerBlob> {
  const path = rooms.content.temporaryPath();
  const tar = rooms.content.temporaryPath();
  try {
    if (original !== undefined) await (await import('./unpacked-blob.ts')).writeTar(rooms.content, original, tar);
    const bytes = original === undefined ? writeLayer(rooms.snapshotter.layerDirs(layer.snapshot)) : chunksOf(tar);
    const chunks = compress(checkedLayer(bytes, layer), options);
    const { digest, sizeBytes } = await writeFileFrom(path, chunks, options.signal);
    rooms.content.adopt(path, digest);
    const blob = { mediaType, digest, sizeBytes };
    rooms.layerBlobs.save(layer.diffID, blob);
    return blob;
  } catch (error) {
    rmSync(path, { force: true });
    throw storeError(rooms.root, error);
  } finally {
    if (original !== undefined) rmSync(tar, { force: true });
  }
}

function* chunksOf(path: string): Generator<Uint8Array> {
  const file = openSync(path, 'r');
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const count = readSync(file, chunk, 0, CHUNK_BYTES, null);
      if (count === 0) return;
      yield chunk.subarray(0, count);
    }
  } finally {
    closeSync(file);
  }
}

const CHUNK_BYTES = 1 << 18;

/** The layer's tar; fails at its end when its digest is not the diffID. */
function* checkedLayer(bytes: Iterable<Uint8Array>, { snapshot, diffID }: ImageLayer): Generator<Uint8Array> {
  const hash = createHash('sha256');
  for (const chunk of bytes) {
    hash.update(chunk);
    yield chunk;
  }
  const found = digestFromHex(hash.digest('hex'));
  if (found === diffID) return;
  throw new TsbuildError(
    'TSB_LAYER_CHANGED',
    `the files of snapshot "${snapshot}" make layer ${found}, not ${diffID}`,
    {
      hint: 'something has changed files in the store: build again with --no-cache',
    },
  );
}

/** Writes a file of its own. */
export async function writeFileFrom(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<{ readonly digest: Digest; readonly sizeBytes: number }> {
  const file = await open(path, 'wx', 0o644);
  try {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of chunks) {
      signal?.throwIfAborted();
      hash.update(chunk);
      await writeAll(file, chunk);
      sizeBytes += chunk.length;
    }
    return { digest: digestFromHex(hash.digest('hex')), sizeBytes };
  } finally {
    await file.close();
  }
}
