// Is it fresh? Keys of an edge, from its cache map and the keys of its inputs. Nothing here runs or waits.
import { contentKeySpec } from './cache-key.ts';
import type { CacheKeySpec, CacheLink, CacheRecord, CacheStore, KeyParts } from './cache-store.ts';
import type { Digest } from './digest.ts';
import type { CacheMap, CacheMapInput, Result } from './op-runner.ts';
import type { Vertex } from './vertex.ts';

/** How one input is known: ids of its own keys and, once asked for, the digest of its selected content. */
export interface InputKeys {
  readonly keyIDs: readonly string[];
  readonly content?: Digest;
}

/** One output of an op, with what is known of its inputs. */
interface KeyedEdge {
  readonly vertexName: string;
  readonly cacheMap: CacheMap;
  readonly output: number;
  readonly inputs: readonly InputKeys[];
}

/** One output of the vertex. */
export function keyedEdge(vertex: Vertex, cacheMap: CacheMap, output: number, inputs: readonly InputKeys[]): KeyedEdge {
  return { vertexName: vertex.options.name, cacheMap, output, inputs };
}

/**
 * Ids of the keys the edge is known by; none while an input is not known at all. A definition that gave several contents
 * leads to several keys: those that hold another result than the newest do not count.
 */
export function findKeys(store: CacheStore, edge: KeyedEdge): readonly string[] {
  const keyIDs = findAllKeys(store, edge);
  const [newest] = findRecords(store, keyIDs);
  return keyIDs.filter((keyID) => {
    const records = store.records(keyID);
    return records.length === 0 || records.some((record) => record.resultID === newest?.resultID);
  });
}

/** Records under any of the keys, newest first. */
export function findRecords(store: CacheStore, keyIDs: readonly string[]): readonly CacheRecord[] {
  return keyIDs.flatMap((keyID) => store.records(keyID)).sort((a, b) => b.createdAtMs - a.createdAtMs);
}

/**
 * Makes the edge known by all that is known of its inputs, and returns the ids; none when an input is known by nothing
 * that lasts (a volatile source that does not count by content). Contents decide which key it is, and the definition is
 * then linked to that one: the same definition may have given another content before, and that content's key must not
 * come to hold a result made from this one.
 */
function saveKeys(store: CacheStore, edge: KeyedEdge): readonly string[] {
  const contents = edge.inputs.flatMap(({ content }) => content ?? []);
  const saved = new Map(contents.map((content) => [content, [store.save(contentKeySpec(content))]]));
  const contentKeys = (content: Digest) => saved.get(content) ?? [];
  const exact = specsOf(edge, (input, map) => exactLinksOf(input, map, contentKeys));
  const keyIDs = exact.map((spec) => store.save(spec));
  if (contents.length > 0) {
    const all = specsOf(edge, (input, map) => linksOf(input, map, contentKeys));
    for (const [index, spec] of all.entries()) store.save(spec, keyIDs[index]);
  }
  return findAll(store, exact);
}

/** Makes the edge known and stores the result under its keys, whose ids it returns. */
export function saveResult(store: CacheStore, edge: KeyedEdge, result: Result): readonly string[] {
  const keyIDs = saveKeys(store, edge);
  for (const keyID of keyIDs) store.saveResult(keyID, result.id, partsOf(edge));
  return keyIDs;
}

/**
 * After a hit by content: links the definition too, so that the next lookup needs no content. Where the definition leads
 * to another key as well, the result found now becomes the newest, for it belongs to the bytes the input has now.
 */
export function confirmKeys(store: CacheStore, edge: KeyedEdge): void {
  const keyIDs = saveKeys(store, edge);
  const [confirmed] = findRecords(store, keyIDs);
  const [newest] = findRecords(store, findAllKeys(store, edge));
  if (confirmed === undefined || newest?.resultID === confirmed.resultID) return;
  for (const keyID of keyIDs) store.saveResult(keyID, confirmed.resultID, partsOf(edge));
}

/** True when the input is known by a key or a content, so that a lookup may match on it. */
function isKnown(input: InputKeys): boolean {
  return input.keyIDs.length > 0 || input.content !== undefined;
}

type LinkInput = (input: InputKeys, map: CacheMapInput | undefined) => readonly CacheLink[];
type ContentKeys = (content: Digest) => readonly string[];

/** One spec for each digest that names the op's result: an image has its manifest's and its layers'. */
function specsOf(edge: KeyedEdge, linkInput: LinkInput): readonly CacheKeySpec[] {
  if (edge.cacheMap.isVolatile || !edge.inputs.every(isKnown)) return [];
  const inputs = edge.inputs.map((input, index) => linkInput(input, edge.cacheMap.inputs[index]));
  const digests = [edge.cacheMap.digest, ...(edge.cacheMap.alternatives ?? [])];
  return digests.map((digest) => ({ digest, output: edge.output, inputs }));
}

/** All alternatives. */
function linksOf(input: InputKeys, map: CacheMapInput | undefined, contentKeys: ContentKeys): readonly CacheLink[] {
  return [...definitionLinksOf(input, map), ...contentLinksOf(input, contentKeys)];
}

/** The alternatives that say what the bytes are: the content where it is known. */
function exactLinksOf(
  input: InputKeys,
  map: CacheMapInput | undefined,
  contentKeys: ContentKeys,
): readonly CacheLink[] {
  return input.content === undefined ? definitionLinksOf(input, map) : contentLinksOf(input, contentKeys);
}

function definitionLinksOf(input: InputKeys, map: CacheMapInput | undefined): readonly CacheLink[] {
  return input.keyIDs.map((keyID) => (map?.selector ? { keyID, selector: map.selector } : { keyID }));
}

function contentLinksOf(input: InputKeys, contentKeys: ContentKeys): readonly CacheLink[] {
  return input.content === undefined ? [] : contentKeys(input.content).map((keyID) => ({ keyID }));
}

function findAllKeys(store: CacheStore, edge: KeyedEdge): readonly string[] {
  const contentKeys = (content: Digest) => store.find(contentKeySpec(content));
  return findAll(
    store,
    specsOf(edge, (input, map) => linksOf(input, map, contentKeys)),
  );
}

function findAll(store: CacheStore, specs: readonly CacheKeySpec[]): readonly string[] {
  return [...new Set(specs.flatMap((spec) => store.find(spec)))];
}

function partsOf(edge: KeyedEdge): KeyParts {
  const contents = edge.inputs.flatMap(({ content }, input) =>
    content === undefined ? [] : [{ input, digest: content }],
  );
  return { vertexName: edge.vertexName, opDigest: edge.cacheMap.digest, contents };
}
