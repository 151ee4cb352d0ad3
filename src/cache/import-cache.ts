// Opens a cache where `--cache-from` says it is: an image manifest, an index whose last entry is the config, or an image
// that carries its records in its own config. Reads manifests and configs only.
import { resolve } from 'node:path';
import { formatReference } from '../../frontend/reference.ts';
import { digestOf } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { type Descriptor, MEDIA_TYPES } from '../image/descriptor.ts';
import type { BlobOrigin } from '../image/image-source.ts';
import { openPlace } from '../image/layer-filler.ts';
import type { LayerPlace } from '../image/lazy-note.ts';
import { isIndexType, parseManifest } from '../image/manifest.ts';
import { OCILayout } from '../image/oci-layout.ts';
import { asRecord, fieldOf, parseJSON } from '../image/untrusted-json.ts';
import type { RegistryClient } from '../registry/registry-client.ts';
import type { S3Access } from '../s3/s3-access.ts';
import {
  CACHE_CONFIG_TYPE,
  type CacheConfig,
  INLINE_CACHE_KEY,
  MAX_ANNOTATED_CONFIG_BYTES,
  MAX_CACHE_CONFIG_BYTES,
  NO_PARENT,
  parseAnnotatedConfig,
  parseCacheConfig,
  parseInlineRecords,
} from './cache-config.ts';
import type { CacheImportSpec } from './cache-spec.ts';
import { MOUNT_INDEX_TYPE } from './mount-index.ts';
import type { MountSource } from './restore-mount.ts';
import type { S3Place } from './s3-spec.ts';
import { describedLayer, ImportedCache, type ImportedLayer } from './imported-cache.ts';

/** What opening one cache takes; clients are made by the caches that need one. */
export interface ImportCacheOptions {
  /** Where relative directories begin. */
  readonly cwd: string;
  readonly registry: () => RegistryClient | Promise<RegistryClient>;
  readonly s3?: () => Promise<S3Access>;
  readonly signal?: AbortSignal;
}

type PlacedImportSpec = Exclude<CacheImportSpec, { readonly kind: 's3' }>;

/** The cache as messages name it. */
export function importName(spec: CacheImportSpec): string {
  if (spec.kind === 'registry') return formatReference(spec.reference);
  if (spec.kind === 's3') return s3Name(spec.place);
  return `${spec.directory}${spec.tag === undefined ? '' : `:${spec.tag}`}${spec.digest === undefined ? '' : `@${spec.digest}`}`;
}

/** The caches behind the spec: an index of images has one for each image with records. Throws TSB_CACHE_…, TSB_REGISTRY_…, TSB_LAYOUT_…. */
export async function importCache(
  spec: CacheImportSpec,
  options: ImportCacheOptions,
): Promise<readonly ImportedCache[]> {
  const found = spec.kind === 's3' ? await importS3(spec.place, options) : await importPlaced(spec, options);
  if (found.length > 0) return found;
  throw new TsbuildError('TSB_CACHE_NOT_FOUND', `${importName(spec)}: no cache in it`, {
    hint: 'export one there with --cache-to, or with --cache-to type=inline when it is an image',
  });
}

/** The mounts that travel with the cache there; undefined when there is none, or no cache. Throws TSB_REGISTRY_…. */
export async function findMounts(
  spec: PlacedImportSpec,
  options: ImportCacheOptions,
): Promise<MountSource | undefined> {
  const reader = new CacheReader(importName(spec), placeOf(spec, options), options);
  try {
    return await reader.findMounts(await rootOf(spec, options));
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof TsbuildError) return undefined;
    throw error;
  }
}

async function importPlaced(spec: PlacedImportSpec, options: ImportCacheOptions): Promise<readonly ImportedCache[]> {
  const reader = new CacheReader(importName(spec), placeOf(spec, options), options);
  return await reader.open(await rootOf(spec, options));
}

/** BuildKit keeps the config under the cache's name, and with each layer what a descriptor would say. */
async function importS3(place: S3Place, { s3, signal = NEVER }: ImportCacheOptions): Promise<readonly ImportedCache[]> {
  if (s3 === undefined) throw new Error('internal error: a cache in a bucket, and no way to it');
  const [name = ''] = place.names;
  const client = (await s3()).client(place.bucket);
  const bytes = await client.read(`${place.manifestsPrefix}${name}`, MAX_ANNOTATED_CONFIG_BYTES, signal);
  if (bytes === undefined) return [];
  const { config, layers } = parseAnnotatedConfig(bytes, s3Name(place));
  const cache = { name: s3Name(place), config, layers: layers.map(describedLayer) };
  return [new ImportedCache({ ...cache, place: { kind: 's3', bucket: place.bucket, prefix: place.blobsPrefix } })];
}

const NEVER = new AbortController().signal;

/** The place as messages name it. */
export function s3Name({ bucket, manifestsPrefix, names }: S3Place): string {
  return `s3://${bucket.bucket}/${manifestsPrefix}${names[0] ?? ''}`;
}

interface Root {
  readonly descriptor: Descriptor;
  readonly bytes?: Buffer;
}

function placeOf(spec: PlacedImportSpec, { cwd }: ImportCacheOptions): LayerPlace {
  if (spec.kind === 'local') return { kind: 'layout', directory: resolve(cwd, spec.directory) };
  const { domain, path } = spec.reference;
  return { kind: 'registry', domain, path };
}

async function rootOf(spec: PlacedImportSpec, { cwd, registry, signal }: ImportCacheOptions): Promise<Root> {
  if (spec.kind === 'registry') {
    return await (await registry()).fetchManifest(spec.reference, signal === undefined ? {} : { signal });
  }
  const { tag, digest } = spec;
  const directory = resolve(cwd, spec.directory);
  const wanted = digest === undefined ? { tag: tag ?? 'latest' } : { digest };
  const [descriptor] = await new OCILayout(directory).find({ directory, ...wanted });
  if (descriptor === undefined) throw new Error('internal error: a layout without images');
  return { descriptor };
}

class CacheReader {
  readonly #name: string;
  readonly #place: LayerPlace;
  readonly #origin: BlobOrigin;
  readonly #options: { readonly signal?: AbortSignal };

  constructor(name: string, place: LayerPlace, { registry, s3, signal }: ImportCacheOptions) {
    this.#name = name;
    this.#place = place;
    this.#origin = openPlace(place, { registry, ...(s3 && { s3 }) });
    this.#options = signal === undefined ? {} : { signal };
  }

  async open({ descriptor, bytes }: Root): Promise<readonly ImportedCache[]> {
    const read = bytes ?? (await this.#readManifest(descriptor));
    const parsed = parseManifest(read, descriptor.mediaType, this.#name);
    if (parsed.kind === 'index') return await this.#openIndex(parsed.index.manifests);
    const { config, layers } = parsed.manifest;
    if (config.mediaType === CACHE_CONFIG_TYPE) return [await this.#openConfig(config, layers)];
    return await this.#openInline(config, layers);
  }

  async findMounts({ descriptor, bytes }: Root): Promise<MountSource | undefined> {
    const read = bytes ?? (await this.#readManifest(descriptor));
    const parsed = parseManifest(read, descriptor.mediaType, this.#name);
    const index = mountIndexOf(parsed.kind === 'index' ? parsed.index.manifests : parsed.manifest.layers);
    return index === undefined ? undefined : { name: this.#name, origin: this.#origin, index };
  }

  async #openIndex(entries: readonly Descriptor[]): Promise<readonly ImportedCache[]> {
    const config = entries.findLast(({ mediaType }) => mediaType === CACHE_CONFIG_TYPE);
    if (config !== undefined) return [await this.#openConfig(config, entries)];
    const images = entries.filter(
      ({ mediaType }) => mediaType === MEDIA_TYPES.ociManifest || mediaType === MEDIA_TYPES.dockerManifest,
    );
    // One after the other: an index may name many.
    const caches: ImportedCache[] = [];
    for (const descriptor of images) caches.push(...(await this.open({ descriptor })));
    return caches;
  }

  async #openConfig(descriptor: Descriptor, blobs: readonly Descriptor[]): Promise<ImportedCache> {
    const config = parseCacheConfig(await this.#readBlob(descriptor, MAX_CACHE_CONFIG_BYTES), this.#name);
    const byDigest = new Map(blobs.map((blob) => [blob.digest, blob]));
    return this.#cache(
      config,
      config.layers.map(({ blob }) => describedLayer(byDigest.get(blob))),
      mountIndexOf(blobs),
    );
  }

  async #openInline(descriptor: Descriptor, blobs: readonly Descriptor[]): Promise<readonly ImportedCache[]> {
    const image = asRecord(parseJSON(await this.#readBlob(descriptor, MAX_IMAGE_CONFIG_BYTES))) ?? {};
    const inline = fieldOf(image, INLINE_CACHE_KEY, 'string');
    if (inline === undefined) return [];
    const records = parseInlineRecords(Buffer.from(inline, 'base64'), blobs.length, this.#name);
    const layers = blobs.map(({ digest }, index) => ({ blob: digest, parent: index === 0 ? NO_PARENT : index - 1 }));
    return [this.#cache({ layers, records }, inlineLayers(image, blobs))];
  }

  #cache(config: CacheConfig, layers: readonly (ImportedLayer | undefined)[], mountIndex?: Descriptor): ImportedCache {
    const mounts = mountIndex === undefined ? {} : { mountIndex };
    return new ImportedCache({ name: this.#name, config, layers, place: this.#place, ...mounts });
  }

  async #readManifest(descriptor: Descriptor): Promise<Buffer> {
    const bytes = await this.#origin.readManifest(descriptor, this.#options);
    return this.#verified(bytes, descriptor);
  }

  async #readBlob(descriptor: Descriptor, maxBytes: number): Promise<Buffer> {
    if (descriptor.size > maxBytes) throw this.#tooLong(descriptor);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#origin.openBlob(descriptor, this.#options)) chunks.push(chunk);
    return this.#verified(Buffer.concat(chunks), descriptor);
  }

  #verified(bytes: Buffer, { digest }: Descriptor): Buffer {
    const found = digestOf(bytes);
    if (found === digest) return bytes;
    throw new TsbuildError('TSB_CACHE_INVALID', `${this.#name}: bad cache: ${found} came instead of ${digest}`, {
      hint: 'export the cache anew',
    });
  }

  #tooLong({ digest, size }: Descriptor): TsbuildError {
    return new TsbuildError('TSB_CACHE_INVALID', `${this.#name}: bad cache: config ${digest} has ${size} bytes`, {
      hint: 'export a smaller cache: mode=min, or fewer stages',
    });
  }
}

function mountIndexOf(blobs: readonly Descriptor[]): Descriptor | undefined {
  return blobs.find(({ mediaType }) => mediaType === MOUNT_INDEX_TYPE);
}

const MAX_IMAGE_CONFIG_BYTES = 8 * 1024 * 1024;

/** An image's layers: diffIDs and times are in its config. */
function inlineLayers(
  image: Readonly<Record<string, unknown>>,
  blobs: readonly Descriptor[],
): readonly (ImportedLayer | undefined)[] {
  const diffIDs = asRecord(image.rootfs)?.diff_ids;
  const history = Array.isArray(image.history) ? image.history : [];
  const times = history.flatMap((entry) => {
    const fields = asRecord(entry) ?? {};
    return fields.empty_layer === true ? [] : [fieldOf(fields, 'created', 'string') ?? ''];
  });
  return blobs.map((blob, index) => {
    const diffID: unknown = Array.isArray(diffIDs) ? diffIDs[index] : undefined;
    const annotations = {
      'containerd.io/uncompressed': typeof diffID === 'string' ? diffID : '',
      'buildkit/createdat': times[index] ?? '',
    };
    return isIndexType(blob.mediaType) ? undefined : describedLayer({ ...blob, annotations });
  });
}
