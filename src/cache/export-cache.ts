// Writes a cache where `--cache-to` says: into an OCI layout's directory, a registry, or a bucket.
import { formatReference } from '../../frontend/reference.ts';
import { type Digest, digestOf } from '../../solver/digest.ts';
import { type Descriptor, MEDIA_TYPES } from '../image/descriptor.ts';
import { type LayerSource, layerSources, type LayerSourcePorts } from '../image/layer-sources.ts';
import { encodeCompactManifest, encodeLayoutIndex } from '../image/manifest-json.ts';
import { formatTimestamp } from '../image/timestamp.ts';
import { mountName } from '../ops/cache-mounts.ts';
import type { RegistryClient } from '../registry/registry-client.ts';
import type { S3Access } from '../s3/s3-access.ts';
import { CACHE_CONFIG_TYPE, type CacheConfig, encodeCacheConfig, layerAnnotations } from './cache-config.ts';
import type { CacheExportSpec } from './cache-spec.ts';
import { configOf, type KeyResult, type ResultLayer } from './export-graph.ts';
import type { ExportedMount } from './export-mounts.ts';
import { type CacheTarget, openTarget } from './export-target.ts';
import { s3Name } from './import-cache.ts';

/** Exports to a place of their own, unlike inline ones. */
export type PlacedExportSpec = Exclude<CacheExportSpec, { readonly kind: 'inline' }>;

/** What writing one cache takes; `report` is told the name of each part that begins. */
export interface ExportCacheOptions extends LayerSourcePorts {
  readonly registry: () => Promise<RegistryClient>;
  readonly s3: () => Promise<S3Access>;
  /** Where relative directories begin. */
  readonly cwd: string;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
  readonly signal: AbortSignal;
  readonly report: (id: string) => void;
  /** Cache mounts that go along. */
  readonly mounts?: readonly ExportedMount[];
}

/** The place as messages name it. */
export function exportName(spec: PlacedExportSpec): string {
  if (spec.kind === 's3') return s3Name(spec.place);
  return spec.kind === 'registry' ? formatReference(spec.reference) : spec.directory;
}

/**
 * The manifest of what was written, as the registry or layout has it; a bucket has none. Throws TSB_REGISTRY_…, TSB_S3_…,
 * TSB_OUTPUT_WRITE_FAILED, TSB_LAYER_CHANGED, TSB_CACHE_MOUNT_CHANGED.
 */
export async function exportCache(
  spec: PlacedExportSpec,
  results: readonly KeyResult[],
  options: ExportCacheOptions,
): Promise<Descriptor | undefined> {
  const layers = await describeLayers(spec, results, options);
  if (spec.kind === 's3') {
    const { exportToS3 } = await import('./export-s3.ts');
    await exportToS3(spec, layers, options);
    return undefined;
  }
  const target = await openTarget(spec, options);
  return await writeCache(spec, layers, target, options);
}

/** Layers as they are exported. */
export interface DescribedLayers {
  readonly config: CacheConfig;
  readonly sources: readonly LayerSource[];
  /** One for each layer of the config, in its order, with annotations. */
  readonly descriptors: readonly Descriptor[];
}

async function describeLayers(
  spec: PlacedExportSpec,
  results: readonly KeyResult[],
  options: ExportCacheOptions,
): Promise<DescribedLayers> {
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
  const byBlob = annotatedBlobs(layers, sources, options);
  return { config, sources, descriptors: config.layers.flatMap(({ blob }) => byBlob.get(blob) ?? []) };
}

/** By diffID; the same bytes stacked elsewhere are one blob. */
function distinctLayers(results: readonly KeyResult[]): ReadonlyMap<Digest, ResultLayer> {
  const layers = results.flatMap((result) => result.layers);
  return new Map(layers.map((layer) => [layer.diffID, layer]));
}

function annotatedBlobs(
  layers: readonly ResultLayer[],
  sources: readonly LayerSource[],
  { rooms }: ExportCacheOptions,
): ReadonlyMap<Digest, Descriptor> {
  return new Map(
    layers.flatMap(({ snapshot, diffID }, index): [Digest, Descriptor][] => {
      const descriptor = sources[index]?.descriptor;
      if (descriptor === undefined) return [];
      const createdAt = formatTimestamp(rooms.snapshotter.createdAtMs(snapshot));
      return [[descriptor.digest, { ...descriptor, annotations: layerAnnotations(diffID, createdAt) }]];
    }),
  );
}

type ManifestExportSpec = Exclude<PlacedExportSpec, { readonly kind: 's3' }>;

async function writeCache(
  spec: ManifestExportSpec,
  { config, sources, descriptors }: DescribedLayers,
  target: CacheTarget,
  { report, signal, mounts }: ExportCacheOptions,
): Promise<Descriptor> {
  const mountBlobs = mounts === undefined ? [] : await writeMounts(mounts, target, { report, signal });
  const configBytes = encodeCacheConfig(config);
  const configBlob = { mediaType: CACHE_CONFIG_TYPE, digest: digestOf(configBytes), size: configBytes.length };
  const layers = spec.hasOCITypes ? descriptors : descriptors.map(asDocker);
  const manifest = encodeOuter(spec, configBlob, [...layers, ...mountBlobs]);
  const descriptor = {
    mediaType: manifest.mediaType,
    digest: digestOf(manifest.bytes),
    size: manifest.bytes.length,
  };
  report(`writing config ${configBlob.digest}`);
  await target.putLayers(sources);
  await target.putBlob(configBlob, configBytes);
  await target.putManifest(descriptor, manifest.bytes);
  report(`writing cache manifest ${descriptor.digest}`);
  return descriptor;
}

async function writeMounts(
  mounts: readonly ExportedMount[],
  target: CacheTarget,
  { report, signal }: Pick<ExportCacheOptions, 'report' | 'signal'>,
): Promise<readonly Descriptor[]> {
  const { exportMounts } = await import('./export-mounts.ts');
  const earlier = await target.earlierMounts();
  const blobs = await exportMounts(mounts, {
    earlier,
    put: (blob, bytes) => target.putBlob(blob, bytes),
    signal,
  });
  for (const { id } of mounts) report(`writing cache mount ${mountName(id)}`);
  return blobs;
}

function encodeOuter(
  { isImageManifest, hasOCITypes }: ManifestExportSpec,
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
