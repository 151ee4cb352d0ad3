// An image as blobs. Its config, and so its imageID, costs nothing but a small blob; the manifest needs the layers'
// compressed bytes and is made only for who asks for it.
import type { ImageConfig } from '../../frontend/image-config.ts';
import { type Digest, digestOf } from '../../solver/digest.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import { type CompleteConfigOptions, completeConfig } from './complete-config.ts';
import { type Descriptor, type DescriptorPlatform, type Manifest, MEDIA_TYPES } from './descriptor.ts';
import { encodeImageConfig } from './image-config-json.ts';
import type { ImageLayer } from './image-store.ts';
import { ensureLayerBlob, type ImageRooms, type LayerBlobOptions } from './layer-blob-writer.ts';
import { encodeManifest } from './manifest-json.ts';

/** An image whose config is in the content store. */
export interface AssembledImage {
  readonly config: ImageConfig;
  readonly configDescriptor: Descriptor;
  /** Oldest first. */
  readonly layers: readonly ImageLayer[];
  /** How many of the layers are the base image's. */
  readonly baseLayerCount?: number;
  /** SOURCE_DATE_EPOCH in seconds, when it is set. */
  readonly sourceDateEpoch?: number;
}

/** An image all of whose blobs are in the content store. */
export interface WrittenImage extends AssembledImage {
  readonly manifest: Manifest;
  /** With the image's platform. */
  readonly manifestDescriptor: Descriptor;
}

interface AssembleOptions extends CompleteConfigOptions {
  readonly baseLayerCount?: number;
  /** Cache records that the image's config carries. */
  readonly inlineCache?: Uint8Array;
}

/**
 * Completes the config for the layers from scratch to `head` and puts it into the content store. Every layer's diffID must
 * be known to the snapshotter by now.
 */
export function assembleImage(
  rooms: ImageRooms,
  config: ImageConfig,
  head: SnapshotName | undefined,
  options: AssembleOptions = {},
): AssembledImage {
  const names = head === undefined ? [] : rooms.snapshotter.chain(head);
  const layers = names.map((snapshot) => ({ snapshot, diffID: requireDiffID(rooms, snapshot) }));
  const timed = layers.map((layer) => ({ ...layer, createdAtMs: rooms.snapshotter.createdAtMs(layer.snapshot) }));
  const completed = completeConfig(config, timed, options);
  const bytes = encodeImageConfig(completed, options.inlineCache);
  const configDescriptor = { mediaType: MEDIA_TYPES.ociConfig, digest: rooms.content.put(bytes), size: bytes.length };
  const { baseLayerCount = 0, sourceDateEpoch } = options;
  const times = sourceDateEpoch === undefined ? {} : { sourceDateEpoch };
  return { config: completed, configDescriptor, layers, baseLayerCount, ...times };
}

interface WriteImageOptions extends LayerBlobOptions {
  /** Of the manifest. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Files of the layers made here get no time after SOURCE_DATE_EPOCH, when that is set. */
  readonly rewritesTimestamps?: boolean;
}

/** Makes sure that every layer has its blob, and writes the manifest. Layers are compressed one after another, each in parallel. */
export async function writeImage(
  rooms: ImageRooms,
  assembled: AssembledImage,
  options: WriteImageOptions,
): Promise<WrittenImage> {
  const isRewritten = options.rewritesTimestamps === true && assembled.sourceDateEpoch !== undefined;
  const image = isRewritten
    ? await (await import('./rewrite-timestamps.ts')).rewriteTimestamps(rooms, assembled, options)
    : assembled;
  const layers: Descriptor[] = [];
  for (const [index, layer] of image.layers.entries()) {
    options.signal?.throwIfAborted();
    const descriptor = await ensureLayerBlob(rooms, layer, options);
    const isOwn = index >= (image.baseLayerCount ?? 0);
    layers.push(isRewritten && isOwn ? withEpoch(descriptor, image.sourceDateEpoch) : descriptor);
  }
  return writeManifest(rooms, image, layers, options.annotations);
}

/** Writes the manifest of the image with these layers, whose blobs may be elsewhere. */
export function writeManifest(
  { content }: Pick<ImageRooms, 'content'>,
  image: AssembledImage,
  layers: readonly Descriptor[],
  annotations?: Readonly<Record<string, string>>,
): WrittenImage {
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: image.configDescriptor,
    layers,
    ...(annotations === undefined ? {} : { annotations }),
  };
  const bytes = encodeManifest(manifest);
  content.put(bytes);
  const manifestDescriptor = {
    mediaType: MEDIA_TYPES.ociManifest,
    digest: digestOf(bytes),
    size: bytes.length,
    platform: platformOf(image.config),
  };
  return { ...image, manifest, manifestDescriptor };
}

function withEpoch(descriptor: Descriptor, epoch: number | undefined): Descriptor {
  return { ...descriptor, annotations: { 'buildkit/rewritten-timestamp': String(epoch) } };
}

function requireDiffID({ snapshotter }: ImageRooms, snapshot: SnapshotName): Digest {
  const layer = snapshotter.diffIDOf(snapshot);
  if (layer === undefined) throw new Error(`internal error: the diffID of snapshot ${snapshot} is not known yet`);
  return layer.diffID;
}

function platformOf(config: ImageConfig): DescriptorPlatform {
  const { architecture, os, variant } = config;
  return {
    architecture,
    os,
    ...(config['os.version'] === undefined ? {} : { 'os.version': config['os.version'] }),
    ...(config['os.features'] === undefined ? {} : { 'os.features': config['os.features'] }),
    ...(variant === undefined ? {} : { variant }),
  };
}
