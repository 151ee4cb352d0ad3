// `rewrite-timestamp=true`: the same image with no file younger than SOURCE_DATE_EPOCH in the layers made here. The base
// image's layers stay as they are, and so do the snapshots: the rewritten image is only written out.
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type Digest, digestFromHex } from '../../solver/digest.ts';
import { writeLayer } from '../diff/layer-tar.ts';
import { storeError } from '../store/store-errors.ts';
import { compress } from './compress.ts';
import { MEDIA_TYPES } from './descriptor.ts';
import { encodeImageConfig } from './image-config-json.ts';
import type { ImageLayer } from './image-store.ts';
import type { AssembledImage } from './image-writer.ts';
import { type ImageRooms, type LayerBlobOptions, layerMediaType, writeFileFrom } from './layer-blob-writer.ts';

/** The image with other diffIDs, whose blobs are in the content store in the form asked for. */
export async function rewriteTimestamps(
  rooms: ImageRooms,
  image: AssembledImage,
  options: LayerBlobOptions,
): Promise<AssembledImage> {
  const { sourceDateEpoch, baseLayerCount = 0 } = image;
  if (sourceDateEpoch === undefined) return image;
  const layers: ImageLayer[] = [...image.layers.slice(0, baseLayerCount)];
  for (const { snapshot } of image.layers.slice(baseLayerCount)) {
    options.signal?.throwIfAborted();
    layers.push({ snapshot, diffID: await rewriteLayer(rooms, snapshot, sourceDateEpoch, options) });
  }
  const config = { ...image.config, rootfs: { type: 'layers' as const, diff_ids: layers.map(({ diffID }) => diffID) } };
  const bytes = encodeImageConfig(config);
  const configDescriptor = { mediaType: MEDIA_TYPES.ociConfig, digest: rooms.content.put(bytes), size: bytes.length };
  return { ...image, config, configDescriptor, layers };
}

async function rewriteLayer(
  rooms: ImageRooms,
  snapshot: ImageLayer['snapshot'],
  epochSeconds: number,
  options: LayerBlobOptions,
): Promise<Digest> {
  const hash = createHash('sha256');
  const path = rooms.content.temporaryPath();
  const tar = function* (): Generator<Uint8Array> {
    for (const chunk of writeLayer(rooms.snapshotter.layerDirs(snapshot), { maxMtimeSeconds: epochSeconds })) {
      hash.update(chunk);
      yield chunk;
    }
  };
  try {
    const { digest, sizeBytes } = await writeFileFrom(path, compress(tar(), options), options.signal);
    rooms.content.adopt(path, digest);
    const diffID = digestFromHex(hash.digest('hex'));
    rooms.layerBlobs.save(diffID, { mediaType: layerMediaType(options.compression), digest, sizeBytes });
    return diffID;
  } catch (error) {
    rmSync(path, { force: true });
    throw storeError(rooms.root, error);
  }
}
