// What the resolver found out about an image, put together for those who ask.
import type { ResolvedImage } from '../../frontend/image-resolver.ts';
import { normalizePlatform } from '../../frontend/platform.ts';
import type { Digest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { IMAGE_SCHEME } from '../../solver/source-schemes.ts';
import type { ContentStore } from '../content/content-store.ts';
import { chainIDs } from './chain-id.ts';
import { parseImageConfig, platformOf } from './config-reader.ts';
import type { Descriptor } from './descriptor.ts';
import type { BlobOrigin, PulledSource } from './image-source.ts';
import type { ListedImage } from './image-store.ts';
import { parseManifest } from './manifest.ts';
import type { ChosenManifest } from './metadata-reader.ts';

interface SourceNames {
  readonly scheme: string;
  /** Without digest. */
  readonly name: string;
  readonly tag?: string;
  readonly digest: Digest;
  readonly origin: BlobOrigin;
}

/** The source of an image whose manifest is known. */
export function sourceOfManifest(
  chosen: ChosenManifest,
  { scheme, name, tag, digest, origin }: SourceNames,
): PulledSource {
  const { config, manifest, descriptor } = chosen;
  const diffIDs = config.rootfs.diff_ids;
  const chain = chainIDs(diffIDs);
  const layers = manifest.layers.flatMap((blob, n) => {
    const [diffID, chainID] = [diffIDs[n], chain[n]];
    return diffID === undefined || chainID === undefined ? [] : [{ diffID, chainID, blob }];
  });
  return {
    identifier: `${scheme}${name}@${digest}`,
    reference: `${scheme === IMAGE_SCHEME ? '' : scheme}${name}@${digest}`,
    ...(tag !== undefined && { tag }),
    digest,
    manifestDigest: descriptor.digest,
    configDigest: manifest.config.digest,
    config,
    platform: normalizePlatform(platformOf(config)),
    layers,
    origin,
    isRemote: scheme === IMAGE_SCHEME,
  };
}

interface LocalNames {
  /** Full, without digest. */
  readonly name: string;
  readonly image: ListedImage;
  readonly origin: BlobOrigin;
}

/** The source of an image in the image store; undefined when its config is gone. */
export function readLocalSource(content: ContentStore, { name, image, origin }: LocalNames): PulledSource | undefined {
  const bytes = readIfThere(content, image.configDigest);
  if (bytes === undefined) return undefined;
  const config = parseImageConfig(bytes, name);
  const blobs = layerBlobs(content, image, name);
  const chain = chainIDs(image.layers.map((layer) => layer.diffID));
  const tag = image.tags.find((one) => one.reference === name);
  const digest = tag?.resolvedDigest ?? image.manifestDigest ?? image.configDigest;
  return {
    identifier: `${IMAGE_SCHEME}${name}@${digest}`,
    reference: `${name}@${digest}`,
    digest,
    ...(image.manifestDigest !== undefined && { manifestDigest: image.manifestDigest }),
    configDigest: image.configDigest,
    config,
    platform: normalizePlatform(platformOf(config)),
    layers: image.layers.map(({ diffID, snapshot }, n) => {
      const blob = blobs[n];
      return { diffID, chainID: chain[n] ?? diffID, snapshot, ...(blob !== undefined && { blob }) };
    }),
    origin,
    isRemote: false,
  };
}

/** What the frontend needs to know of a source. */
export function resolvedImageOf({ reference, identifier, digest, platform, config }: PulledSource): ResolvedImage {
  return { reference, identifier, attrs: {}, digest, platform, config };
}

/** Layers are lazy: an image built here may have a manifest whose blobs are not there, or none. */
function layerBlobs(content: ContentStore, image: ListedImage, name: string): readonly Descriptor[] {
  const bytes = image.manifestDigest === undefined ? undefined : readIfThere(content, image.manifestDigest);
  if (bytes === undefined) return [];
  const parsed = parseManifest(bytes, '', name);
  const blobs = parsed.kind === 'manifest' ? parsed.manifest.layers : [];
  return blobs.length === image.layers.length ? blobs : [];
}

function readIfThere(content: ContentStore, digest: Digest): Buffer | undefined {
  try {
    return content.read(digest);
  } catch (error) {
    if (error instanceof TsbuildError && error.code === 'TSB_CONTENT_NOT_FOUND') return undefined;
    throw error;
  }
}
