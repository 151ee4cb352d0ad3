// A cache as it was imported: its graph of keys by index, the layers that its results are made of, and the way from a key
// spec of the solver to the records that match it. Nothing is fetched.
import type { CacheKeySpec } from '../../solver/cache-store.ts';
import { rootKey } from '../../solver/cache-key.ts';
import { type Digest, isDigest } from '../../solver/digest.ts';
import type { Descriptor } from '../image/descriptor.ts';
import type { LayerPlace } from '../image/lazy-note.ts';
import { type CacheConfig, type ConfigRecord, CREATED_AT, DIFF_ID, NO_PARENT } from './cache-config.ts';
import type { RootLink } from './key-graph.ts';

/** A layer with all that is needed to know it without its bytes. */
export interface ImportedLayer {
  readonly blob: Descriptor;
  readonly diffID: Digest;
  readonly createdAtMs: number;
}

/** A result: layers, oldest first. */
export interface ImportedResult {
  readonly layers: readonly ImportedLayer[];
  readonly place: LayerPlace;
}

/** One way in which a spec's input leads to a record: the alternative's place in the spec. */
interface MatchedRecord {
  readonly record: number;
  /** For each input, the numbers of the alternatives that lead to the record. */
  readonly inputs: readonly (readonly number[])[];
}

interface ImportedCacheOptions {
  /** For messages. */
  readonly name: string;
  readonly config: CacheConfig;
  /** For each layer of the config its blob; undefined when nothing is known of it. */
  readonly layers: readonly (ImportedLayer | undefined)[];
  readonly place: LayerPlace;
  /** Of the cache mounts that travel with it. */
  readonly mountIndex?: Descriptor;
}

/** The layer that a descriptor with BuildKit's annotations describes; undefined when it has none. */
export function describedLayer(blob: Descriptor | undefined): ImportedLayer | undefined {
  const diffID = blob?.annotations?.[DIFF_ID];
  if (blob === undefined || diffID === undefined || !isDigest(diffID)) return undefined;
  const createdAtMs = Date.parse(blob.annotations?.[CREATED_AT] ?? '') || 0;
  const { mediaType, digest, size } = blob;
  return { blob: { mediaType, digest, size }, diffID, createdAtMs };
}

/** Answers from memory: what the config says is indexed once, when it is made. */
export class ImportedCache {
  readonly name: string;
  readonly place: LayerPlace;
  readonly mountIndex: Descriptor | undefined;
  readonly #options: ImportedCacheOptions;
  readonly #roots = new Map<string, number[]>();
  /** From (record digest, input, source record, selector) to records. */
  readonly #links = new Map<string, number[]>();

  constructor(options: ImportedCacheOptions) {
    this.name = options.name;
    this.place = options.place;
    this.mountIndex = options.mountIndex;
    this.#options = options;
    for (const [index, record] of options.config.records.entries()) this.#index(record, index);
  }

  /**
   * The records that the spec matches; `recordsOf` says which records of this cache a key id stands for. A spec matches
   * when for every input at least one alternative does, and the record has no further input.
   */
  match(spec: CacheKeySpec, recordsOf: (keyID: string) => readonly number[]): readonly MatchedRecord[] {
    const digest = rootKey(spec.digest, spec.output);
    if (spec.inputs.length === 0) return (this.#roots.get(digest) ?? []).map((record) => ({ record, inputs: [] }));
    const reached = spec.inputs.map((alternatives, input) => {
      const found = new Map<number, number[]>();
      for (const [number, { keyID, selector }] of alternatives.entries()) {
        for (const source of recordsOf(keyID)) {
          for (const record of this.#links.get(linkName(digest, input, source, selector)) ?? []) {
            append(found, record, number);
          }
        }
      }
      return found;
    });
    const [first, ...rest] = reached;
    return [...(first?.keys() ?? [])]
      .filter((record) => !this.#hasMore(spec, record) && rest.every((other) => other.has(record)))
      .map((record) => ({ record, inputs: reached.map((found) => found.get(record) ?? []) }));
  }

  #hasMore(spec: CacheKeySpec, record: number): boolean {
    return (this.#options.config.records[record]?.inputs.length ?? 0) > spec.inputs.length;
  }

  /** The record's result; undefined when it has none, or one that this cache does not describe. */
  resultOf(record: number): ImportedResult | undefined {
    const { layers: results = [], chains = [] } = this.#options.config.records[record] ?? {};
    const stacks = [...results.map(({ layer }) => this.#stackOf(layer)), ...chains.map((chain) => chain.layers)];
    for (const stack of stacks) {
      const layers = stack.map((index) => this.#options.layers[index]);
      if (layers.length > 0 && layers.every((layer) => layer !== undefined)) {
        return { layers, place: this.#options.place };
      }
    }
    return undefined;
  }

  /** For each input of the record, its alternatives that are root keys. */
  rootsOf(record: number): readonly (readonly RootLink[])[] {
    const { records } = this.#options.config;
    return (records[record]?.inputs ?? []).map((links) =>
      links.flatMap(({ link, selector }) => {
        const source = records[link];
        if (source === undefined || source.inputs.length > 0) return [];
        return [{ digest: source.digest, ...(selector !== undefined && { selector }) }];
      }),
    );
  }

  #index({ digest, inputs }: ConfigRecord, index: number): void {
    if (inputs.length === 0) append(this.#roots, digest, index);
    for (const [input, links] of inputs.entries()) {
      for (const { link, selector } of links) append(this.#links, linkName(digest, input, link, selector), index);
    }
  }

  /** Indexes from the oldest layer to this one. */
  #stackOf(top: number): readonly number[] {
    const { layers } = this.#options.config;
    const stack: number[] = [];
    for (let at = top; at !== NO_PARENT; at = layers[at]?.parent ?? NO_PARENT) stack.unshift(at);
    return stack;
  }
}

function linkName(digest: Digest, input: number, source: number, selector: Digest | undefined): string {
  return `${digest} ${input} ${source} ${selector ?? ''}`;
}

function append<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else if (!list.includes(value)) list.push(value);
}
