// BuildKit's remote cache on the wire: `application/vnd.buildkit.cacheconfig.v0`, a graph of keys by index, and the
// layers that are their results. https://github.com/moby/buildkit/blob/master/cache/remotecache/v1/doc.go
import { type Digest, isDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { encodeGoJSON, type GoJSONStruct, omitZero } from '../../solver/go-json.ts';
import type { Descriptor } from '../image/descriptor.ts';
import { asList, asRecord, fieldOf, parseJSON } from '../image/untrusted-json.ts';

/** Media type of a config blob, by which an index that is a cache is known. */
export const CACHE_CONFIG_TYPE = 'application/vnd.buildkit.cacheconfig.v0';
/** The key of an image config under which it carries its own cache records. */
export const INLINE_CACHE_KEY = 'moby.buildkit.cache.v0';
/** What BuildKit reads of a config at most. */
export const MAX_CACHE_CONFIG_BYTES = 1024 * 1024;
/** The same for one with annotations, which BuildKit reads at any length. */
export const MAX_ANNOTATED_CONFIG_BYTES = 16 * 1024 * 1024;
/** Annotation of a layer's descriptor: its diffID. */
export const DIFF_ID = 'containerd.io/uncompressed';

/** Annotation of a layer's descriptor: when it was made, in RFC 3339. */
export const CREATED_AT = 'buildkit/createdat';
/** `parent` of a layer on nothing. Absent on the wire is 0, not none. */
export const NO_PARENT = -1;

/** A blob on top of another layer of the list; the same blob may stand on several. */
export interface ConfigLayer {
  readonly blob: Digest;
  /** Index of the layer below, or NO_PARENT. */
  readonly parent: number;
}

/** A way to reach a record: a record by index, joined with a selector. */
interface ConfigLink {
  readonly selector?: Digest;
  readonly link: number;
}

/** `layer` is the top of a chain of parents. */
interface ConfigResult {
  readonly layer: number;
  readonly createdAt?: string;
}

/** A result whose layers, oldest first, are no chain of parents. */
interface ConfigChain {
  readonly layers: readonly number[];
  readonly createdAt?: string;
}

/** A key: without inputs a root key (a source or a content), without layers or chains one that has no result. */
export interface ConfigRecord {
  readonly layers: readonly ConfigResult[];
  readonly chains: readonly ConfigChain[];
  readonly digest: Digest;
  /** For each input, its alternatives. */
  readonly inputs: readonly (readonly ConfigLink[])[];
}

/** The whole graph: records and layers refer to each other by their indexes in these lists. */
export interface CacheConfig {
  readonly layers: readonly ConfigLayer[];
  readonly records: readonly ConfigRecord[];
}

/** The config's bytes, as Go writes them. */
export function encodeCacheConfig({ layers, records }: CacheConfig): Buffer {
  return Buffer.from(
    encodeGoJSON({ layers: omitZero(layers.map(layerStruct)), records: omitZero(records.map(recordStruct)) }),
  );
}

/** What a place without descriptors keeps with each layer. */
export interface LayerAnnotations {
  readonly mediaType: string;
  readonly diffID: string;
  readonly size: number;
  readonly createdAt: string;
}

/** The form in a bucket: each layer with what `annotationsOf` says. */
export function encodeAnnotatedConfig(
  { layers, records }: CacheConfig,
  annotationsOf: (blob: Digest) => LayerAnnotations,
): Buffer {
  const annotated = layers.map((layer): GoJSONStruct => {
    const { mediaType, diffID, size, createdAt } = annotationsOf(layer.blob);
    return { ...layerStruct(layer), annotations: { mediaType, diffID, size: omitZero(size), createdAt } };
  });
  return Buffer.from(encodeGoJSON({ layers: omitZero(annotated), records: omitZero(records.map(recordStruct)) }));
}

/** The records alone: the form in an image config, where layer i is the image's layer i. */
export function encodeInlineRecords(records: readonly ConfigRecord[]): Buffer {
  return Buffer.from(encodeGoJSON(records.map(recordStruct)));
}

function layerStruct({ blob, parent }: ConfigLayer): GoJSONStruct {
  return { blob, parent: omitZero(parent) };
}

function recordStruct({ layers, chains, digest, inputs }: ConfigRecord): GoJSONStruct {
  return {
    layers: omitZero(layers.map(({ layer, createdAt }) => ({ layer, createdAt }))),
    chains: omitZero(chains.map((chain) => ({ layers: chain.layers, createdAt: chain.createdAt }))),
    digest,
    inputs: omitZero(inputs.map((links) => links.map(({ selector, link }) => ({ selector, link })))),
  };
}

/** What the bytes say; every index in it is one of its lists'. Throws TSB_CACHE_INVALID; `name` is for messages. */
export function parseCacheConfig(bytes: Uint8Array, name: string, maxBytes = MAX_CACHE_CONFIG_BYTES): CacheConfig {
  if (bytes.length > maxBytes) throw invalid(name, `its config has ${bytes.length} bytes`);
  const fields = asRecord(parseJSON(bytes));
  if (fields === undefined) throw invalid(name, 'it is no JSON object');
  const layers = asList(fields.layers).map((one) => parseLayer(one, name));
  for (const [index, { parent }] of layers.entries()) checkChain(layers, { index, parent }, name);
  return { layers, records: parseRecords(fields.records, layers.length, name) };
}

/** A config from a bucket, and for each of its layers the descriptor that it carries. Throws TSB_CACHE_INVALID. */
export function parseAnnotatedConfig(
  bytes: Uint8Array,
  name: string,
): { readonly config: CacheConfig; readonly layers: readonly (Descriptor | undefined)[] } {
  const config = parseCacheConfig(bytes, name, MAX_ANNOTATED_CONFIG_BYTES);
  const raw = asList(asRecord(parseJSON(bytes))?.layers);
  return { config, layers: config.layers.map(({ blob }, at) => annotatedBlob(blob, asRecord(raw[at])?.annotations)) };
}

function annotatedBlob(digest: Digest, value: unknown): Descriptor | undefined {
  const fields = asRecord(value) ?? {};
  const mediaType = fieldOf(fields, 'mediaType', 'string');
  const size = fieldOf(fields, 'size', 'number');
  const diffID = fieldOf(fields, 'diffID', 'string') ?? '';
  if (mediaType === undefined || size === undefined || !Number.isSafeInteger(size) || size < 0) return undefined;
  const annotations = layerAnnotations(diffID, fieldOf(fields, 'createdAt', 'string') ?? '');
  return { mediaType, digest, size, annotations };
}

/** As BuildKit annotates the descriptor of a layer. */
export function layerAnnotations(diffID: string, createdAt: string): Readonly<Record<string, string>> {
  return { [CREATED_AT]: createdAt, [DIFF_ID]: diffID };
}

/** The records of an image config, for an image with that many layers. Throws TSB_CACHE_INVALID. */
export function parseInlineRecords(bytes: Uint8Array, layerCount: number, name: string): readonly ConfigRecord[] {
  return parseRecords(parseJSON(bytes), layerCount, name);
}

function parseRecords(value: unknown, layerCount: number, name: string): readonly ConfigRecord[] {
  const list = asList(value);
  return list.map((one) => parseRecord(one, { layerCount, recordCount: list.length }, name));
}

function parseLayer(value: unknown, name: string): ConfigLayer {
  const { blob, parent = 0 } = asRecord(value) ?? {};
  if (typeof blob !== 'string' || !isDigest(blob)) throw invalid(name, `bad blob ${JSON.stringify(blob)}`);
  if (typeof parent !== 'number' || !Number.isSafeInteger(parent)) throw invalid(name, `bad parent of ${blob}`);
  return { blob, parent: Math.max(parent, NO_PARENT) };
}

/** Parents must lead to the ground. */
function checkChain(
  layers: readonly ConfigLayer[],
  { index, parent }: { readonly index: number; readonly parent: number },
  name: string,
): void {
  let steps = 0;
  for (let at = parent; at !== NO_PARENT; at = layers[at]?.parent ?? NO_PARENT) {
    steps += 1;
    if (at < layers.length && steps <= layers.length) continue;
    throw invalid(name, `the parents of layer ${index} lead nowhere`);
  }
}

interface Counts {
  readonly layerCount: number;
  readonly recordCount: number;
}

function parseRecord(value: unknown, { layerCount, recordCount }: Counts, name: string): ConfigRecord {
  const fields = asRecord(value) ?? {};
  const { digest } = fields;
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(name, `bad record ${JSON.stringify(digest)}`);
  const index = (from: unknown, key: string, count: number): number => {
    const found = asRecord(from)?.[key] ?? 0;
    if (typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 && found < count) return found;
    throw invalid(name, `bad ${key} ${JSON.stringify(found)} in record ${digest}`);
  };
  return {
    layers: asList(fields.layers).map((one) => ({ layer: index(one, 'layer', layerCount), ...timeOf(one) })),
    chains: asList(fields.chains).map((one) => ({
      layers: asList(asRecord(one)?.layers).map((layer) => index({ layer }, 'layer', layerCount)),
      ...timeOf(one),
    })),
    digest,
    inputs: asList(fields.inputs).map((links) =>
      asList(links).map((one) => ({ ...selectorOf(one, name), link: index(one, 'link', recordCount) })),
    ),
  };
}

function timeOf(value: unknown): { readonly createdAt?: string } {
  const createdAt = fieldOf(asRecord(value) ?? {}, 'createdAt', 'string');
  return createdAt === undefined ? {} : { createdAt };
}

function selectorOf(value: unknown, name: string): { readonly selector?: Digest } {
  const selector = fieldOf(asRecord(value) ?? {}, 'selector', 'string') ?? '';
  if (selector === '') return {};
  if (!isDigest(selector)) throw invalid(name, `bad selector ${JSON.stringify(selector)}`);
  return { selector };
}

function invalid(name: string, fact: string): TsbuildError {
  return new TsbuildError('TSB_CACHE_INVALID', `${name}: bad cache: ${fact}`, {
    hint: 'export the cache anew',
  });
}
