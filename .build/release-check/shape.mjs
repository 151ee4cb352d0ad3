// What two caches of the same build have in common: all but times, blobs, and the order of layers that follows from blobs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const INLINE_KEY = 'moby.buildkit.cache.v0';

function readLayout(directory) {
  const read = (digest) => JSON.parse(readFileSync(join(directory, 'blobs', 'sha256', digest.slice(7)), 'utf8'));
  const index = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8'));
  const named = read(index.manifests[0].digest);
  // An image alone may be wrapped in an index.
  const manifest = named.config === undefined ? read(named.manifests[0].digest) : named;
  return { manifest, config: read(manifest.config.digest) };
}

/** Of a cache in an OCI layout. */
export function shapeOfCache(directory) {
  const { manifest, config } = readLayout(directory);
  const heightOf = (layer) => (layer === -1 ? 0 : 1 + heightOf(config.layers[layer].parent ?? 0));
  return {
    records: config.records.map((record) => shapeOfRecord(record, heightOf)),
    heights: config.layers.map((_, layer) => heightOf(layer)).sort(),
    keys: [Object.keys(manifest), Object.keys(config), Object.keys(manifest.config)],
    types: [manifest.mediaType, manifest.config.mediaType],
    descriptors: manifest.layers.map((layer) => [layer.mediaType, Object.keys(layer), Object.keys(layer.annotations)]),
    isInOrder: manifest.layers.every(({ digest }, at) => digest === config.layers[at].blob),
  };
}

/** Of the records in the config of an image in an OCI layout. */
export function shapeOfInline(directory) {
  const { config } = readLayout(directory);
  const records = JSON.parse(Buffer.from(config[INLINE_KEY] ?? '', 'base64').toString() || '[]');
  return { records: records.map((record) => shapeOfRecord(record, (layer) => layer)) };
}

function shapeOfRecord(record, heightOf) {
  const { layers, chains } = record;
  const timeless = {
    ...record,
    ...(layers && { layers: layers.map((one) => ({ keys: Object.keys(one), height: heightOf(one.layer) })) }),
    ...(chains && { chains: chains.map((one) => ({ keys: Object.keys(one), layers: one.layers.map(heightOf) })) }),
  };
  return JSON.stringify(timeless);
}

/** Throws with the first that differs. */
export function expectEqualShapes(ours, theirs) {
  for (const [index, record] of theirs.records.entries()) {
    if (ours.records[index] !== record)
      throw new Error(`record ${index} differs:\nours:   ${ours.records[index]}\ntheirs: ${record}`);
  }
  const [own, other] = [JSON.stringify(ours), JSON.stringify(theirs)];
  if (own !== other) throw new Error(`caches differ:\nours:   ${own.slice(-1500)}\ntheirs: ${other.slice(-1500)}`);
  return `${theirs.records.length} records equal`;
}
