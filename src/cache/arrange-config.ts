// The order of a cache config: a graph of keys becomes lists whose order depends on the graph alone, as BuildKit sorts
// them, so that equal caches are equal bytes. Records go by digest, layers by blob and then by what is below them.
import { type Digest, digestOf } from '../../solver/digest.ts';
import type { CacheConfig, ConfigLayer, ConfigRecord } from './cache-config.ts';
import { NO_PARENT } from './cache-config.ts';

/** How a key is reached. `from` is the id of another key of the graph. */
export interface GraphLink {
  readonly from: string;
  readonly selector?: Digest;
}

/** What a key's step made: a layer for each blob, and when (RFC 3339). */
export interface GraphResult {
  /** Blobs, oldest first; not empty. */
  readonly blobs: readonly Digest[];
  readonly createdAt: string;
}

/** One key of a graph without cycles. */
export interface GraphKey {
  readonly id: string;
  /** The record's digest: see rootKey. */
  readonly digest: Digest;
  readonly inputs: readonly (readonly GraphLink[])[];
  readonly result: GraphResult | undefined;
}

/** The config of the graph. */
export function arrangeConfig(keys: readonly GraphKey[]): CacheConfig {
  const layers = new LayerTable(keys.flatMap(({ result }) => (result === undefined ? [] : [result.blobs])));
  const ranks = rankKeys(keys);
  const sorted = keys.toSorted((a, b) => compareText(ranks.get(a.id) ?? '', ranks.get(b.id) ?? ''));
  const places = new Map(sorted.map(({ id }, index) => [id, index]));
  return { layers: layers.list, records: sorted.map((key) => recordOf(key, places, layers)) };
}

function recordOf(key: GraphKey, places: ReadonlyMap<string, number>, layers: LayerTable): ConfigRecord {
  const { digest, result } = key;
  const inputs = key.inputs.map((links) =>
    links
      .map(({ from, selector }) => ({ ...(selector !== undefined && { selector }), link: places.get(from) ?? 0 }))
      .sort((a, b) => a.link - b.link || compareText(a.selector ?? '', b.selector ?? '')),
  );
  const results = result === undefined ? [] : [{ layer: layers.indexOf(result.blobs), createdAt: result.createdAt }];
  return { layers: results, chains: [], digest, inputs };
}

/** Chains of blobs as a list of layers with parents, each stack once. */
class LayerTable {
  readonly list: readonly ConfigLayer[];
  readonly #places: ReadonlyMap<string, number>;

  constructor(chains: readonly (readonly Digest[])[]) {
    // A stack's name is its blobs from the top down, so that sorting names sorts by blob, then by what is below.
    const stacks = new Map<string, readonly Digest[]>();
    for (const chain of chains) {
      for (let height = 1; height <= chain.length; height++) {
        const stack = chain.slice(0, height);
        stacks.set(stackName(stack), stack);
      }
    }
    const sorted = [...stacks].sort(([a], [b]) => compareText(a, b));
    this.#places = new Map(sorted.map(([name], index) => [name, index]));
    this.list = sorted.map(([, stack]) => ({
      blob: stack.at(-1) ?? digestOf(''),
      parent: this.#places.get(stackName(stack.slice(0, -1))) ?? NO_PARENT,
    }));
  }

  /** Of the layer that ends the chain. */
  indexOf(chain: readonly Digest[]): number {
    return this.#places.get(stackName(chain)) ?? 0;
  }
}

function stackName(stack: readonly Digest[]): string {
  return stack.toReversed().join(' ');
}

/**
 * A text for each key that sorts it: its digest, then how many inputs it has, then for each input how many links it has and
 * their selectors and digests. What is below those only tells keys apart that are equal so far, which BuildKit leaves open.
 */
function rankKeys(keys: readonly GraphKey[]): ReadonlyMap<string, string> {
  const byID = new Map(keys.map((key) => [key.id, key]));
  const ranks = new Map<string, string>();
  const rank = (id: string): string => {
    const known = ranks.get(id);
    if (known !== undefined) return known;
    const key = byID.get(id);
    if (key === undefined) throw new Error(`internal error: cache key ${id} is not in the graph`);
    const inputs = key.inputs.map((links) => rankLinks(links, rank));
    const found = [key.digest, countText(inputs.length), ...inputs.map(({ shallow }) => shallow)].join(' ');
    ranks.set(id, `${found} ${digestOf([found, ...inputs.map(({ deep }) => deep)].join(' '))}`);
    return ranks.get(id) ?? '';
  };
  for (const { id } of keys) rank(id);
  return ranks;
}

interface LinksRank {
  readonly shallow: string;
  /** With what is below. */
  readonly deep: string;
}

function rankLinks(links: readonly GraphLink[], rank: (id: string) => string): LinksRank {
  const ranked = links.map(({ from, selector }) => {
    const inner = rank(from);
    const shallow = `${selector ?? ''} ${inner.slice(0, DIGEST_LENGTH)}`;
    return { shallow, deep: `${shallow} ${inner.slice(-DIGEST_LENGTH)}` };
  });
  const sorted = (part: 'shallow' | 'deep') =>
    [countText(links.length), ...ranked.map((one) => one[part]).sort(compareText)].join(' ');
  return { shallow: sorted('shallow'), deep: sorted('deep') };
}

/** Sorts as the number does. */
function countText(count: number): string {
  return String(count).padStart(6, '0');
}

const DIGEST_LENGTH = digestOf('').length;

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
