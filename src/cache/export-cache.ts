// Writes a cache where `--cache-to` says: into an OCI layout's directory, or a registry.
import { copyFileSync, constants, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { formatReference } from '../../frontend/reference.ts';
import { digestHex, type Digest, digestOf } from '../../solver/digest.ts';
import { writeError } from '../export/destination.ts';
import { type Descriptor, MEDIA_TYPES } from '../image/descriptor.ts';
import { type LayerSource, layerSources, type LayerSourcePorts } from '../image/layer-sources.ts';
import { parseManifest } from '../image/manifest.ts';
import { encodeCompactManifest, encodeLayoutIndex } from '../image/manifest-json.ts';
import { formatTimestamp } from '../image/timestamp.ts';
import { type BlobSource, Pusher } from '../registry/push.ts';
import type { RegistryClient } from '../registry/registry-client.ts';
import { CACHE_CONFIG_TYPE, type CacheConfig, encodeCacheConfig } from './cache-config.ts';
import { makeDirectories } from '../sys/make-directories.ts';
import type { CacheExportSpec } from './cache-spec.ts';
import { configOf, type KeyResult, type ResultLayer } from './export-graph.ts';
import { layerAnnotations } from './imported-cache.ts';

/** Exports to a place of their own, unlike inline ones. */
export type PlacedExportSpec = Exclude<CacheExportSpec, { readonly kind: 'inline' }>;

export interface ExportCacheOptions extends LayerSourcePorts {
  readonly registry: () => Promise<RegistryClient>;
  /** Where relative directories begin. */
  readonly cwd: string;
  readonly signal: AbortSignal;
  readonly report: (id: string) => void;
}

/** The place as messages name it. */
export function exportName(spec: PlacedExportSpec): string {
  return spec.kind === 'registry' ? formatReference(spec.reference) : spec.directory;
}

/** The manifest of what was written, as the registry or layout has it. Throws TSB_REGISTRY_…, TSB_OUTPUT_WRITE_FAILED, TSB_LAYER_CHANGED. */
export async function exportCache(
  spec: PlacedExportSpec,
  results: readonly KeyResult[],
  options: ExportCacheOptions,
): Promise<Descriptor> {
  const cache = await describeCache(spec, results, options);
  options.report(`writing config ${cache.configDescriptor.digest}`);
  try {
    if (spec.kind === 'local') await writeLocal(resolve(options.cwd, spec.directory), spec.tag, cache);
    else await writeRegistry(spec, cache, options);
  } catch (error) {
    throw spec.kind === 'local' ? writeError(spec.directory, error) : error;
  }
  options.report(`writing cache manifest ${cache.manifestDescriptor.digest}`);
  return cache.manifestDescriptor;
}

/** All that is written. */
interface DescribedCache {
  readonly sources: readonly LayerSource[];
  readonly configBytes: Buffer;
  readonly configDescriptor: Descriptor;
  readonly manifestBytes: Buffer;
  readonly manifestDescriptor: Descriptor;
  /** Where a blob lies once it has been fetched. */
  readonly pathOf: (digest: Digest) => string;
}

async function describeCache(
  spec: PlacedExportSpec,
  results: readonly KeyResult[],
  options: ExportCacheOptions,
): Promise<DescribedCache> {
  const layers = [...distinctLayers(results).values()];
  const { compression, level, isForced } = spec;
  const sources = await layerSources(options, layers, {
    compression,
    isForced,
    signal: options.signal,
    ...(level !== undefined && { level }),
    ...(spec.kind === 'registry' && { domain: spec.reference.domain }),
  });
  const blobs = new Map(layers.map(({ diffID }, index) => [diffID, sources[index]?.descriptor]));
  const config = configOf(results, (diffID) => blobs.get(diffID)?.digest ?? diffID);
  const configBytes = encodeCacheConfig(config);
  const configDescriptor = { mediaType: CACHE_CONFIG_TYPE, digest: digestOf(configBytes), size: configBytes.length };
  const described = describeLayers(config, layers, sources, options).map((one) =>
    spec.hasOCITypes ? one : asDocker(one),
  );
  const manifest = encodeOuter(spec, configDescriptor, described);
  return {
    sources,
    configBytes,
    configDescriptor,
    manifestBytes: manifest.bytes,
    manifestDescriptor: {
      mediaType: manifest.mediaType,
      digest: digestOf(manifest.bytes),
      size: manifest.bytes.length,
    },
    pathOf: (digest) => options.rooms.content.pathOf(digest),
  };
}

/** By diffID; the same bytes stacked elsewhere are one blob. */
function distinctLayers(results: readonly KeyResult[]): ReadonlyMap<Digest, ResultLayer> {
  const layers = results.flatMap((result) => result.layers);
  return new Map(layers.map((layer) => [layer.diffID, layer]));
}

/** One descriptor for each layer of the config, in its order. */
function describeLayers(
  config: CacheConfig,
  layers: readonly ResultLayer[],
  sources: readonly BlobSource[],
  { rooms }: ExportCacheOptions,
): readonly Descriptor[] {
  const byBlob = new Map(
    layers.flatMap(({ snapshot, diffID }, index): [Digest, Descriptor][] => {
      const descriptor = sources[index]?.descriptor;
      if (descriptor === undefined) return [];
      const createdAt = formatTimestamp(rooms.snapshotter.createdAtMs(snapshot));
      return [[descriptor.digest, { ...descriptor, annotations: layerAnnotations(diffID, createdAt) }]];
    }),
  );
  return config.layers.flatMap(({ blob }) => byBlob.get(blob) ?? []);
}

function encodeOuter(
  { isImageManifest, hasOCITypes }: PlacedExportSpec,
  config: Descriptor,
  layers: readonly Descriptor[],
): { readonly mediaType: string; readonly bytes: Buffer } {
  if (isImageManifest) {
    const mediaType = MEDIA_TYPES.ociManifest;
    return { mediaType, bytes: encodeCompactManifest({ schemaVersion: 2, mediaType, config, layers }) };
  }
  const mediaType = hasOCITypes ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.dockerManifestList;
  return { mediaType, bytes: encodeLayoutIndex({ schemaVersion: 2, mediaType, manifests: [...layers, config] }) };
}

const DOCKER_TYPES: ReadonlyMap<string, string> = new Map([
  [MEDIA_TYPES.ociLayerGzip, MEDIA_TYPES.dockerLayerGzip],
  [MEDIA_TYPES.ociLayer, MEDIA_TYPES.dockerLayer],
]);

function asDocker(descriptor: Descriptor): Descriptor {
  return { ...descriptor, mediaType: DOCKER_TYPES.get(descriptor.mediaType) ?? descriptor.mediaType };
}

async function writeRegistry(
  { reference }: Extract<PlacedExportSpec, { readonly kind: 'registry' }>,
  cache: DescribedCache,
  { registry, signal }: ExportCacheOptions,
): Promise<void> {
  const pusher = new Pusher({ client: await registry(), repository: reference, signal });
  const config: BlobSource = { descriptor: cache.configDescriptor, open: async () => chunkOf(cache.configBytes) };
  await pusher.pushBlobs([...cache.sources, config]);
  await pusher.pushManifest(cache.manifestBytes, cache.manifestDescriptor.mediaType, reference.tag);
}

async function* chunkOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const REF_NAME = 'org.opencontainers.image.ref.name';

/** What the layout holds under other tags stays; index.json is replaced last, in one step. */
async function writeLocal(directory: string, tag: string, cache: DescribedCache): Promise<void> {
  const blobs = join(directory, 'blobs', 'sha256');
  makeDirectories(blobs);
  for (const { descriptor, fetch } of cache.sources) {
    const path = join(blobs, digestHex(descriptor.digest));
    if (existsSync(path)) continue;
    await fetch();
    // A clone where the file system can.
    copyFileSync(cache.pathOf(descriptor.digest), `${path}.partial`, constants.COPYFILE_FICLONE);
    renameSync(`${path}.partial`, path);
  }
  replaceFile(join(blobs, digestHex(cache.configDescriptor.digest)), cache.configBytes);
  replaceFile(join(blobs, digestHex(cache.manifestDescriptor.digest)), cache.manifestBytes);
  replaceFile(join(directory, 'oci-layout'), Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  const index = join(directory, 'index.json');
  const kept = entriesOf(index).filter(({ annotations }) => annotations?.[REF_NAME] !== tag);
  const manifests = [...kept, { ...cache.manifestDescriptor, annotations: { [REF_NAME]: tag } }];
  replaceFile(index, encodeLayoutIndex({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }));
}

function entriesOf(path: string): readonly Descriptor[] {
  if (!existsSync(path)) return [];
  const parsed = parseManifest(readFileSync(path), MEDIA_TYPES.ociIndex, path);
  return parsed.kind === 'index' ? parsed.index.manifests : [];
}

function replaceFile(path: string, bytes: Uint8Array): void {
  writeFileSync(`${path}.partial`, bytes, { mode: 0o644 });
  renameSync(`${path}.partial`, path);
}
