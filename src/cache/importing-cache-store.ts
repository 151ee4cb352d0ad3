// The store's own records, and those of imported caches behind them. A key that is found in an imported cache becomes a key
// of the store, with the links by which it was found and its result as a lazy snapshot; so later builds find it without the
// import, and chains go on from imported to own records and back.
import type { CacheKeySpec, CacheLink, CacheRecord, CacheStore, KeyParts } from '../../solver/cache-store.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import type { ImportedCache, ImportedResult } from './imported-cache.ts';
import type { RootLink } from './key-graph.ts';

interface ImportingCacheStorePorts {
  readonly own: CacheStore;
  readonly caches: readonly ImportedCache[];
  /** True when the store still has the snapshot. */
  readonly hasSnapshot: (name: SnapshotName) => boolean;
  /** The snapshot of the result, made without its bytes. */
  readonly createSnapshot: (result: ImportedResult) => SnapshotName;
}

/** Wraps the store's for one build. */
export class ImportingCacheStore implements CacheStore {
  readonly #ports: ImportingCacheStorePorts;
  /** For each imported cache, which of its records a key of the store stands for. */
  readonly #adopted: readonly Map<string, Set<number>>[];

  constructor(ports: ImportingCacheStorePorts) {
    this.#ports = ports;
    this.#adopted = ports.caches.map(() => new Map<string, Set<number>>());
  }

  find(spec: CacheKeySpec): readonly string[] {
    const found = new Set(this.#ports.own.find(spec));
    for (const [number, cache] of this.#ports.caches.entries()) {
      const matches = cache.match(spec, (keyID) => [...(this.#adopted[number]?.get(keyID) ?? [])]);
      for (const { record, inputs } of matches) {
        const matched = { ...spec, inputs: spec.inputs.map((links, input) => pick(links, inputs[input] ?? [])) };
        const keyID = [...found][0] ?? this.#ports.own.save(matched);
        found.add(keyID);
        this.#adopt({ number, cache, record, keyID, spec: matched });
      }
    }
    return [...found];
  }

  save(spec: CacheKeySpec, keyID?: string): string {
    return this.#ports.own.save(spec, keyID);
  }

  records(keyID: string): readonly CacheRecord[] {
    return this.#ports.own.records(keyID);
  }

  saveResult(keyID: string, resultID: string | undefined, parts: KeyParts): void {
    this.#ports.own.saveResult(keyID, resultID, parts);
  }

  dropResult(keyID: string, resultID: string | undefined): void {
    this.#ports.own.dropResult(keyID, resultID);
  }

  /** For each input of an adopted key, the root keys that lead to it in imported caches, looked up or not. */
  rootsOf(keyID: string): readonly (readonly RootLink[])[] {
    const inputs: RootLink[][] = [];
    for (const [number, cache] of this.#ports.caches.entries()) {
      for (const record of this.#adopted[number]?.get(keyID) ?? []) {
        for (const [input, roots] of cache.rootsOf(record).entries()) {
          inputs[input] = [...(inputs[input] ?? []), ...roots];
        }
      }
    }
    return inputs;
  }

  #adopt({ number, cache, record, keyID, spec }: Adoption): void {
    const adopted = this.#adopted[number]?.get(keyID) ?? new Set();
    if (adopted.has(record)) return;
    this.#adopted[number]?.set(keyID, adopted.add(record));
    const { own } = this.#ports;
    own.save(spec, keyID);
    const result = cache.resultOf(record);
    if (result === undefined || this.#hasResult(keyID)) return;
    own.saveResult(keyID, this.#ports.createSnapshot(result), {
      vertexName: `imported from ${cache.name}`,
      opDigest: spec.digest,
      contents: [],
    });
  }

  /** What is here needs no import. */
  #hasResult(keyID: string): boolean {
    const { own, hasSnapshot } = this.#ports;
    return own.records(keyID).some(({ resultID }) => resultID === undefined || hasSnapshot(resultID));
  }
}

interface Adoption {
  readonly number: number;
  readonly cache: ImportedCache;
  readonly record: number;
  readonly keyID: string;
  /** With the alternatives by which the record was found. */
  readonly spec: CacheKeySpec;
}

function pick(links: readonly CacheLink[], numbers: readonly number[]): readonly CacheLink[] {
  return links.filter((_, number) => numbers.includes(number));
}
