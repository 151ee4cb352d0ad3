// Cache records in meta.db. See solver/cache-store.ts for what links and keys mean.
import { type Digest, parseDigest } from '../../solver/digest.ts';
import type { CacheKeySpec, CacheLink, CacheRecord, CacheStore, KeyParts } from '../../solver/cache-store.ts';
import type { MetaDatabase, Row } from '../store/meta-database.ts';
import { numberColumn, textColumn } from '../store/meta-database.ts';

// A root key is reached by a link from no key (0 is no row's id) through no input.
const ROOT: { readonly source: number; readonly input: number } = { source: 0, input: -1 };

/** See cache-key.ts: a root key's record is `rootKey(digest, output)`. */
interface StoredKey {
  readonly digest: Digest;
  readonly output: number;
}

/** Ids of keys are row ids in decimal. Each call that writes is one transaction, seen by other processes when it returns. */
export class SqliteCacheStore implements CacheStore {
  readonly #db: MetaDatabase;
  readonly #now: () => number;
  readonly #used = new Set<string>();

  constructor(db: MetaDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  find(spec: CacheKeySpec): readonly string[] {
    return this.#find(spec).map(String);
  }

  save(spec: CacheKeySpec, keyID?: string): string {
    return this.#db.transaction(() => {
      const target = keyID === undefined ? (this.#find(spec)[0] ?? this.#insertKey(spec)) : parseKeyID(keyID);
      if (spec.inputs.length === 0) this.#link(spec, ROOT.source, ROOT.input, undefined, target);
      spec.inputs.forEach((alternatives, input) => {
        for (const { keyID, selector } of alternatives) this.#link(spec, parseKeyID(keyID), input, selector, target);
      });
      return String(target);
    });
  }

  records(keyID: string): readonly CacheRecord[] {
    const rows = this.#db.all(
      'SELECT result, created_at_ms FROM cache_records WHERE key = ? ORDER BY id DESC',
      parseKeyID(keyID),
    );
    if (rows.length > 0) this.#used.add(keyID);
    return rows.map((row) => recordOf(keyID, row));
  }

  saveResult(keyID: string, resultID: string | undefined, parts: KeyParts): void {
    this.#db.run(
      `INSERT OR REPLACE INTO cache_records (key, result, created_at_ms, used_at_ms, parts)
       VALUES (?1, ?2, ?3, ?3, ?4)`,
      parseKeyID(keyID),
      resultID ?? '',
      this.#now(),
      JSON.stringify(parts),
    );
  }

  dropResult(keyID: string, resultID: string | undefined): void {
    this.#db.run('DELETE FROM cache_records WHERE key = ? AND result = ?', parseKeyID(keyID), resultID ?? '');
  }

  /** The parts a record's key was made of, as saved. */
  partsOf(keyID: string, resultID: string | undefined): KeyParts | undefined {
    const row = this.#db.get(
      'SELECT parts FROM cache_records WHERE key = ? AND result = ?',
      parseKeyID(keyID),
      resultID ?? '',
    );
    // Written by saveResult only.
    return row === undefined ? undefined : (JSON.parse(textColumn(row, 'parts')) as KeyParts);
  }

  /** What the key is: an op's digest and output; undefined for a key that was never saved. */
  keyOf(keyID: string): StoredKey | undefined {
    const row = this.#db.get('SELECT digest, output FROM cache_keys WHERE id = ?', parseKeyID(keyID));
    if (row === undefined) return undefined;
    return { digest: parseDigest(textColumn(row, 'digest')), output: numberColumn(row, 'output') };
  }

  /** For each input, the links that lead to the key; no inputs for a root key. */
  linksTo(keyID: string): readonly (readonly CacheLink[])[] {
    const rows = this.#db.all(
      'SELECT source, input, selector FROM cache_links WHERE target = ? AND input >= 0 ORDER BY input, source, selector',
      parseKeyID(keyID),
    );
    const inputs: CacheLink[][] = [];
    for (const row of rows) {
      const selector = textColumn(row, 'selector');
      const link = {
        keyID: String(numberColumn(row, 'source')),
        ...(selector !== '' && { selector: parseDigest(selector) }),
      };
      const input = numberColumn(row, 'input');
      inputs[input] = [...(inputs[input] ?? []), link];
    }
    return Array.from(inputs, (links) => links ?? []);
  }

  /** Records which keys were looked at since the last call as used now: gc takes the longest unused first. Called once a build. */
  flushUse(): void {
    if (this.#used.size === 0) return;
    const usedAtMs = this.#now();
    this.#db.transaction(() => {
      for (const keyID of this.#used) {
        this.#db.run('UPDATE cache_records SET used_at_ms = ? WHERE key = ?', usedAtMs, parseKeyID(keyID));
      }
    });
    this.#used.clear();
  }

  #find(spec: CacheKeySpec): readonly number[] {
    if (spec.inputs.length === 0) return this.#targets(spec, ROOT.source, ROOT.input, undefined);
    let matches: readonly number[] | undefined;
    for (const [input, alternatives] of spec.inputs.entries()) {
      const targets = this.#targetsOfAny(spec, input, alternatives);
      matches = matches === undefined ? [...targets] : matches.filter((id) => targets.has(id));
      if (matches.length === 0) return [];
    }
    return (matches ?? []).filter((id) => !this.#hasMore(spec, id)).toSorted((a, b) => a - b);
  }

  /** The key has an input after the spec's last. */
  #hasMore(spec: CacheKeySpec, id: number): boolean {
    const row = this.#db.get(
      'SELECT 1 FROM cache_links WHERE target = ? AND digest = ? AND output = ? AND input = ? LIMIT 1',
      id,
      spec.digest,
      spec.output,
      spec.inputs.length,
    );
    return row !== undefined;
  }

  #targetsOfAny(spec: CacheKeySpec, input: number, alternatives: readonly CacheLink[]): ReadonlySet<number> {
    return new Set(
      alternatives.flatMap(({ keyID, selector }) => this.#targets(spec, parseKeyID(keyID), input, selector)),
    );
  }

  #targets(spec: CacheKeySpec, source: number, input: number, selector: Digest | undefined): readonly number[] {
    const rows = this.#db.all(
      'SELECT target FROM cache_links WHERE digest = ? AND output = ? AND source = ? AND input = ? AND selector = ?',
      spec.digest,
      spec.output,
      source,
      input,
      selector ?? '',
    );
    return rows.map((row) => numberColumn(row, 'target'));
  }

  #insertKey(spec: CacheKeySpec): number {
    return this.#db.run('INSERT INTO cache_keys (digest, output) VALUES (?, ?)', spec.digest, spec.output)
      .lastInsertRowid;
  }

  #link(spec: CacheKeySpec, source: number, input: number, selector: Digest | undefined, target: number): void {
    this.#db.run(
      'INSERT OR IGNORE INTO cache_links (digest, output, source, input, selector, target) VALUES (?, ?, ?, ?, ?, ?)',
      spec.digest,
      spec.output,
      source,
      input,
      selector ?? '',
      target,
    );
  }
}

function parseKeyID(keyID: string): number {
  if (!/^\d{1,15}$/.test(keyID)) throw new Error(`internal error: "${keyID}" is no cache key id`);
  return Number(keyID);
}

function recordOf(keyID: string, row: Row): CacheRecord {
  const result = textColumn(row, 'result');
  return { keyID, resultID: result === '' ? undefined : result, createdAtMs: numberColumn(row, 'created_at_ms') };
}
