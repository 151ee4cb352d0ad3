// A cache in a bucket, as BuildKit keeps it: blobs under their digests, and the config, with what descriptors would say of
// the layers, under each of the cache's names.
import { Readable } from 'node:stream';
import { digestHex, digestOf } from '../../solver/digest.ts';
import type { Descriptor } from '../image/descriptor.ts';
import type { LayerSource } from '../image/layer-sources.ts';
import type { S3Client } from '../s3/s3-client.ts';
import { blobKey } from '../s3/s3-origin.ts';
import { CREATED_AT, DIFF_ID, encodeAnnotatedConfig, type LayerAnnotations } from './cache-config.ts';
import type { DescribedLayers, ExportCacheOptions, PlacedExportSpec } from './export-cache.ts';

type S3ExportSpec = Extract<PlacedExportSpec, { readonly kind: 's3' }>;

/** Throws TSB_S3_…. */
export async function exportToS3(
  spec: S3ExportSpec,
  { config, sources, descriptors }: DescribedLayers,
  options: ExportCacheOptions,
): Promise<void> {
  const { place } = spec;
  const client = (await options.s3()).client(place.bucket);
  await putLayers(spec, sources, client, options);
  const annotations = new Map(descriptors.map((one) => [one.digest, annotationsOf(one)]));
  const bytes = encodeAnnotatedConfig(config, (blob) => {
    const found = annotations.get(blob);
    if (found === undefined) throw new Error(`internal error: layer ${blob} was not described`);
    return found;
  });
  const source = { hash: digestHex(digestOf(bytes)), size: bytes.length, open: () => Readable.from([bytes]) };
  for (const name of place.names) {
    await client.put(`${place.manifestsPrefix}${name}`, source, options.signal);
    options.report(`writing cache manifest ${name}`);
  }
}

async function putLayers(
  spec: S3ExportSpec,
  sources: readonly LayerSource[],
  client: S3Client,
  options: ExportCacheOptions,
): Promise<void> {
  const pending = [...new Map(sources.map((source) => [source.descriptor.digest, source])).values()];
  const work = async (): Promise<void> => {
    for (let source = pending.shift(); source !== undefined; source = pending.shift()) {
      try {
        await putLayer(spec, source, client, options);
      } catch (error) {
        pending.length = 0;
        throw error;
      }
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: spec.upload.parallelism }, work));
  const failed = ended.find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

async function putLayer(
  { place, upload }: S3ExportSpec,
  { descriptor: { digest, size }, fetch }: LayerSource,
  client: S3Client,
  { rooms, signal, now, report }: ExportCacheOptions,
): Promise<void> {
  const key = blobKey(place.blobsPrefix, digest);
  const there = await client.stat(key, signal);
  if (there !== undefined) {
    if (now() - there.modifiedAtMs > upload.touchAfterMs) await client.touch(key, signal);
    return;
  }
  await fetch();
  await client.put(key, { hash: digestHex(digest), size, open: () => rooms.content.open(digest) }, signal);
  report(`writing layer ${digest}`);
}

function annotationsOf({ mediaType, size, annotations = {} }: Descriptor): LayerAnnotations {
  return { mediaType, diffID: annotations[DIFF_ID] ?? '', size, createdAt: annotations[CREATED_AT] ?? '' };
}
