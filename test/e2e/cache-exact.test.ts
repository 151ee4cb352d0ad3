// The caches of the corpus, exported anew from the same input: the same texts, but for times and compressed blobs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { rootKey } from '../../solver/cache-key.ts';
import { imageSourceDigest } from '../../solver/source-key.ts';
import { LINUX_AMD64 } from '../frontend/fake-image-resolver.ts';
import { findGolden, GOLDEN, type GoldenLayer, goldenLayers, writeGoldenBase } from '../golden-caches.ts';
import { readLayout, writeVectorContext } from './cache-vectors.ts';
import { type Caller, describeRoot, outputOf } from './harness.ts';

// biome-ignore lint/suspicious/noExplicitAny: the shape of a foreign JSON file
type JSONValue = any;

interface Exported {
  readonly layout: (digest: string) => string;
  readonly manifest: JSONValue;
  readonly config: JSONValue;
}

describeRoot('the cache of the same input', { needs: [GOLDEN] }, (caller) => {
  for (const set of ['set1', 'set2']) {
    it(`is BuildKit's in every record and layer: ${set}`, () => {
      expectGolden(set, exportCache(caller, set, []));
    });
  }

  it("is BuildKit's in every record and layer: set3, with one key told by how its base is compressed", async () => {
    const base = join(caller.home, 'base');
    const manifest = await writeGoldenBase(base);
    const exported = exportCache(caller, 'set3', ['--build-context', `basex=oci-layout://${base}`]);
    // The base's manifest names compressed blobs, so its digest is the one thing of the base that differs. That the key
    // comes out as BuildKit's for BuildKit's own blobs is shown where all records are recomputed.
    const { 'image manifest key': theirs } = readGolden('set3', 'records.json');
    const own = rootKey(imageSourceDigest(manifest, LINUX_AMD64), 0);
    expectGolden('set3', { ...exported, config: renameRecord(exported.config, own, theirs) });
  });
});

function exportCache(caller: Caller, set: string, flags: readonly string[]): Exported {
  const context = writeVectorContext(caller.home, set);
  const dest = join(caller.home, `${set}-cache`);
  const secret = ['--secret', `id=s1,src=${join(caller.home, 'secret')}`];
  const to = ['--cache-to', `type=local,dest=${dest},mode=max`];
  const store = join(caller.home, `${set}-store`);
  const built = caller.tsbuild(['build', ...secret, ...flags, ...to, context], { store });
  expect(built.status, outputOf(built)).toBe(0);
  return readLayout(dest);
}

function readGolden(set: string, name: string): JSONValue {
  return JSON.parse(readFileSync(join(GOLDEN, set, name), 'utf8'));
}

/** Compares texts, so that the order of keys and lists counts. */
function expectGolden(set: string, { layout, manifest, config }: Exported): void {
  const layers = goldenLayers(set);
  const found = new Map<string, GoldenLayer>();
  for (const { digest, annotations } of manifest.layers) {
    const tar = gunzipSync(readFileSync(layout(digest)));
    const golden = findGolden(layers, tar);
    expect(golden, `${digest} is a layer of BuildKit's`).toBeDefined();
    if (golden !== undefined) found.set(digest, golden);
    expect(annotations['containerd.io/uncompressed']).toMatch(/^sha256:/);
  }
  const [theirConfig, theirManifest] = [readGolden(set, 'cacheconfig.json'), readGolden(set, 'cache-manifest.json')];
  const order = layerOrder(config, theirConfig, (blob) => found.get(blob)?.descriptor.digest ?? '');
  expect(order.toSorted((a, b) => a - b)).toEqual(theirConfig.layers.map((_: unknown, at: number) => at));
  expect(JSON.stringify(config)).not.toContain('"parent":0,');
  expect(timeless(translateConfig(config, order, found))).toBe(timeless(theirConfig));

  // A layer of the manifest is one of the config, in the same order.
  expect(manifest.layers.map(({ digest }: JSONValue) => digest)).toEqual(
    config.layers.map(({ blob }: JSONValue) => blob),
  );
  const translated = permute(manifest.layers, order).map((layer) => translateDescriptor(layer, found));
  const { digest, size } = theirManifest.config;
  const ours = { ...manifest, config: { ...manifest.config, digest, size }, layers: translated };
  expect(timeless(ours)).toBe(timeless(theirManifest));
}

function timeless(value: JSONValue): string {
  return JSON.stringify(value).replace(/"(createdAt|buildkit\/createdat)":"\d{4}-[^"]*Z"/g, '"$1":""');
}

/** For each of our layers, its place among theirs: layers are named by their blob and all blobs below. */
function layerOrder(ours: JSONValue, theirs: JSONValue, blobOf: (blob: string) => string): readonly number[] {
  const nameOf = (config: JSONValue, layer: number, blob: (blob: string) => string): string =>
    layer === -1 ? '' : `${blob(config.layers[layer].blob)} ${nameOf(config, config.layers[layer].parent ?? 0, blob)}`;
  const places = new Map(theirs.layers.map((_: unknown, at: number) => [nameOf(theirs, at, (blob) => blob), at]));
  return ours.layers.map((_: unknown, at: number) => places.get(nameOf(ours, at, blobOf)) ?? -1);
}

function permute(list: readonly JSONValue[], order: readonly number[]): JSONValue[] {
  const permuted: JSONValue[] = [];
  for (const [at, place] of order.entries()) permuted[place] = list[at];
  return permuted;
}

/** Our config with their blobs, and its layers in the order of those. */
function translateConfig(
  config: JSONValue,
  order: readonly number[],
  found: ReadonlyMap<string, GoldenLayer>,
): JSONValue {
  const layers = permute(config.layers, order).map(({ blob, parent = 0, ...rest }) => {
    const place = parent === -1 ? -1 : (order[parent] ?? -1);
    return { blob: found.get(blob)?.descriptor.digest, ...(place !== 0 && { parent: place }), ...rest };
  });
  const records = config.records.map((record: JSONValue) =>
    record.layers === undefined
      ? record
      : { ...record, layers: record.layers.map((one: JSONValue) => ({ ...one, layer: order[one.layer] })) },
  );
  return { ...config, layers, records };
}

/** Keeps the order of the keys. */
function translateDescriptor(layer: JSONValue, found: ReadonlyMap<string, GoldenLayer>): JSONValue {
  const golden = found.get(layer.digest);
  const annotations = { ...layer.annotations, 'containerd.io/uncompressed': golden?.diffID };
  return { ...layer, digest: golden?.descriptor.digest, size: golden?.descriptor.size, annotations };
}

/** The config with another digest for one record, which may move by that. */
function renameRecord(config: JSONValue, from: string, to: string): JSONValue {
  expect(config.records.map(({ digest }: JSONValue) => digest)).toContain(from);
  const renamed = config.records.map((record: JSONValue, at: number) => {
    const digest = record.digest === from ? to : record.digest;
    return { at, record: { ...record, digest } };
  });
  renamed.sort((a: JSONValue, b: JSONValue) => (a.record.digest < b.record.digest ? -1 : 1));
  const places = new Map<number, number>(renamed.map(({ at }: JSONValue, place: number) => [at, place]));
  const relink = (links: readonly JSONValue[]): JSONValue[] =>
    links.map((link) => ({ ...link, link: places.get(link.link) ?? -1 })).sort((a, b) => a.link - b.link);
  const records = renamed.map(({ record }: JSONValue) => ({
    ...record,
    ...(record.inputs !== undefined && { inputs: record.inputs.map(relink) }),
  }));
  return { ...config, records };
}
