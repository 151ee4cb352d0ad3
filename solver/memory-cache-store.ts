// A cache store that lives as long as the process: for tests, and for solves that shall leave nothing behind.
import { newKeyID } from './cache-key.ts';
import type { CacheKeySpec, CacheLink, CacheRecord, CacheStore, KeyParts } from './cache-store.ts';

/** See cache-store.ts. `now` gives ms since the epoch. */
export class MemoryCacheStore implements CacheStore {
  readonly #now: () => number;
  readonly #roots = new Set<string>();
  readonly #targets = new Map<string, Set<string>>();
  readonly #inputs = new Set<string>();
  readonly #records = new Map<string, readonly CacheRecord[]>();
  readonly #parts = new Map<string, KeyParts>();

  constructor(now: () => number) {
    this.#now = now;
  }

  find(spec: CacheKeySpec): readonly string[] {
    const [first, ...rest] = spec.inputs.map((links, input) => this.#linked(spec, links, input));
    if (first !== undefined) {
      return [...first].filter((keyID) => !this.#hasMore(spec, keyID) && rest.every((matches) => matches.has(keyID)));
    }
    const keyID = newKeyID(spec);
    return this.#roots.has(keyID) ? [keyID] : [];
  }

  save(spec: CacheKeySpec, given?: string): string {
    const keyID = given ?? this.find(spec)[0] ?? newKeyID(spec);
    if (spec.inputs.length === 0) this.#roots.add(keyID);
    spec.inputs.forEach((links, input) => {
      for (const link of links) this.#link(formatLink(spec, link, input), keyID);
      this.#inputs.add(formatInput(spec, keyID, input));
    });
    return keyID;
  }

  records(keyID: string): readonly CacheRecord[] {
    return this.#records.get(keyID) ?? [];
  }

  saveResult(keyID: string, resultID: string | undefined, parts: KeyParts): void {
    this.dropResult(keyID, resultID);
    this.#records.set(keyID, [{ keyID, resultID, createdAtMs: this.#now() }, ...this.records(keyID)]);
    this.#parts.set(keyID, parts);
  }

  dropResult(keyID: string, resultID: string | undefined): void {
    const kept = this.records(keyID).filter((record) => record.resultID !== resultID);
    this.#records.set(keyID, kept);
  }

  /** The readable parts of the key's newest result. */
  parts(keyID: string): KeyParts | undefined {
    return this.#parts.get(keyID);
  }

  #linked(spec: CacheKeySpec, links: readonly CacheLink[], input: number): ReadonlySet<string> {
    return new Set(links.flatMap((link) => [...(this.#targets.get(formatLink(spec, link, input)) ?? [])]));
  }

  /** The key has an input after the spec's last. */
  #hasMore(spec: CacheKeySpec, keyID: string): boolean {
    return this.#inputs.has(formatInput(spec, keyID, spec.inputs.length));
  }

  #link(link: string, keyID: string): void {
    const targets = this.#targets.get(link) ?? new Set();
    this.#targets.set(link, targets.add(keyID));
  }
}

function formatInput(spec: CacheKeySpec, keyID: string, input: number): string {
  return [spec.digest, spec.output, input, keyID].join(' ');
}

function formatLink(spec: CacheKeySpec, link: CacheLink, input: number): string {
  return [spec.digest, spec.output, input, link.keyID, link.selector ?? ''].join(' ');
}
