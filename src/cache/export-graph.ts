// From collected keys to a config and its layers: which result each key has, of which layers, under which blobs.
import type { CacheLink } from '../../solver/cache-store.ts';
import type { Digest } from '../../solver/digest.ts';
import { formatTimestamp } from '../image/timestamp.ts';
import type { SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import { arrangeConfig, type GraphKey, type GraphLink, type GraphResult } from './arrange-config.ts';
import { type CacheConfig, type ConfigRecord, NO_PARENT } from './cache-config.ts';
import type { CacheMode } from './cache-spec.ts';
import type { CollectedKey, RootLink } from './key-graph.ts';

/** A layer of a result. */
export interface ResultLayer {
  readonly snapshot: SnapshotName;
  readonly diffID: Digest;
}

/** A key with its result's layers, oldest first; none when it has no result here. */
export interface KeyResult {
  readonly key: CollectedKey;
  readonly layers: readonly ResultLayer[];
  readonly createdAtMs: number;
}

interface FindResultsOptions {
  readonly snapshotter: Snapshotter;
  /** Digests the layers that were not digested yet. */
  readonly layersOf: (name: SnapshotName) => Promise<readonly ResultLayer[]>;
  /** Layers of the image, for `min`: a result counts when all of its layers are among them. */
  readonly imageLayers: readonly ResultLayer[];
  readonly mode: CacheMode;
}

/** The newest result of each key that is here. */
export async function findResults(
  keys: readonly CollectedKey[],
  { snapshotter, layersOf, imageLayers, mode }: FindResultsOptions,
): Promise<readonly KeyResult[]> {
  const ofImage = new Set(imageLayers.map(({ snapshot }) => snapshot));
  const diffIDs = new Set(imageLayers.map(({ diffID }) => diffID));
  const found: KeyResult[] = [];
  for (const key of keys) {
    const record = key.records.find(({ resultID }) => resultID !== undefined && snapshotter.exists(resultID));
    const name = record?.resultID;
    const isWanted = name !== undefined && (mode === 'max' || isPartOf(snapshotter, name, ofImage, diffIDs));
    const layers = isWanted ? await layersOf(name) : [];
    found.push({ key, layers, createdAtMs: record?.createdAtMs ?? 0 });
  }
  return found;
}

/** Without digesting what is not part of the image: its layers have been digested. */
function isPartOf(
  snapshotter: Snapshotter,
  name: SnapshotName,
  ofImage: ReadonlySet<SnapshotName>,
  diffIDs: ReadonlySet<Digest>,
): boolean {
  return snapshotter.chain(name).every((one) => {
    const diffID = snapshotter.diffIDOf(one)?.diffID;
    return ofImage.has(one) || (diffID !== undefined && diffIDs.has(diffID));
  });
}

/** The config of the keys; `blobOf` gives the blob of a layer by its diffID. */
export function configOf(results: readonly KeyResult[], blobOf: (diffID: Digest) => Digest): CacheConfig {
  // Root keys go by their digest, since an imported cache knows them by nothing else.
  const ids = new Map(results.map(({ key }) => [key.keyID, key.inputs.length === 0 ? key.digest : key.keyID]));
  const keys = new Map<string, GraphKey>();
  for (const { key, layers, createdAtMs } of results) {
    const inputs = key.inputs.map((links, input) => linksOf(links, key.roots[input] ?? [], ids));
    const result: GraphResult | undefined =
      layers.length === 0
        ? undefined
        : { blobs: layers.map(({ diffID }) => blobOf(diffID)), createdAt: formatTimestamp(createdAtMs) };
    const id = ids.get(key.keyID) ?? key.keyID;
    keys.set(id, { id, digest: key.digest, inputs, result });
    for (const { digest } of key.roots.flat()) {
      if (!keys.has(digest)) keys.set(digest, { id: digest, digest, inputs: [], result: undefined });
    }
  }
  return arrangeConfig([...keys.values()]);
}

function linksOf(
  links: readonly CacheLink[],
  roots: readonly RootLink[],
  ids: ReadonlyMap<string, string>,
): readonly GraphLink[] {
  const own = links.map(({ keyID, selector }) => ({ from: ids.get(keyID) ?? keyID, selector }));
  const further = roots.map(({ digest, selector }) => ({ from: digest, selector }));
  const all = new Map([...own, ...further].map((link) => [`${link.from} ${link.selector ?? ''}`, link]));
  return [...all.values()].map(({ from, selector }) => ({ from, ...(selector !== undefined && { selector }) }));
}

/**
 * Records for the image's own config. Layer i is the image's layer i, on layer i - 1; a result that is no such stack
 * names its layers one by one. Undefined when no result is part of the image.
 */
export function inlineRecords(
  results: readonly KeyResult[],
  imageDiffIDs: readonly Digest[],
): readonly ConfigRecord[] | undefined {
  const places = new Map(imageDiffIDs.map((diffID, index) => [diffID, index]));
  const kept = results.map((result) =>
    result.layers.every(({ diffID }) => places.has(diffID)) ? result : { ...result, layers: [] },
  );
  // Blobs do not matter here: diffIDs stand for them, so that stacks can be told.
  const { layers, records } = configOf(useful(kept), (diffID) => diffID);
  if (layers.length === 0) return undefined;
  const stackOf = (top: number): readonly Digest[] => {
    const stack: Digest[] = [];
    for (let at = top; at !== NO_PARENT; at = layers[at]?.parent ?? NO_PARENT) {
      const blob = layers[at]?.blob;
      if (blob !== undefined) stack.unshift(blob);
    }
    return stack;
  };
  return records.map((record) => {
    const [result] = record.layers;
    if (result === undefined) return record;
    const stack = stackOf(result.layer);
    if (stack.every((diffID, index) => imageDiffIDs[index] === diffID)) {
      return { ...record, layers: [{ ...result, layer: stack.length - 1 }] };
    }
    const { layer: _, ...time } = result;
    return { ...record, layers: [], chains: [{ layers: stack.map((diffID) => places.get(diffID) ?? 0), ...time }] };
  });
}

/** Keys with a result, and those that lead to one. */
function useful(results: readonly KeyResult[]): readonly KeyResult[] {
  const byID = new Map(results.map((result) => [result.key.keyID, result]));
  const wanted = new Set<string>();
  const want = (keyID: string): void => {
    if (wanted.has(keyID)) return;
    wanted.add(keyID);
    for (const links of byID.get(keyID)?.key.inputs ?? []) for (const link of links) want(link.keyID);
  };
  for (const { key, layers } of results) if (layers.length > 0) want(key.keyID);
  return results.filter(({ key }) => wanted.has(key.keyID));
}
