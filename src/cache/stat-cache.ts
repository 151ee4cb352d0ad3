// Remembers the content digests of context files between builds, so that a file is read again only when it may have changed.
//
// A file counts as unchanged when device, inode, ctime, mtime, size, mode, uid and gid are all as they were. No call can
// set a ctime, so this only fails within one tick of the file system's clock: an entry whose file had been changed so
// short before it was looked at that a second change could bear the same ctime is not remembered at all.
import { type Digest, digestFromHex, digestHex } from '../../solver/digest.ts';
import type { MetaDatabase } from '../store/meta-database.ts';
import { CHUNK_ENTRIES, type FileStat, StatChunk } from './stat-chunk.ts';

interface StatCacheSession {
  /** The digest put for this path, when the file is certainly still the same. */
  get(path: string, stat: FileStat): Digest | undefined;
  /** Remembers the digest of a file's bytes. `recordedAtMs`: when `stat` was taken, or shortly before; the bytes were read after it. */
  put(path: string, stat: FileStat, digest: Digest, recordedAtMs: number): void;
  /** Writes to the store what has changed since `open`; nothing when nothing has. */
  flush(): void;
}

/** One for a store; a session of it for each context of a build. */
export class StatCache {
  readonly #db: MetaDatabase;
  readonly #now: () => number;

  constructor(db: MetaDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /** `contextRoot` names the tree whose paths are remembered: a real, absolute path. The entries are read on first use. */
  open(contextRoot: string): StatCacheSession {
    return new Session(this.#db, contextRoot, this.#now);
  }
}

/** Files changed less than this before they were looked at are not trusted. Kernel clocks tick every 1 to 10 ms. */
const GRANULARITY_MS = 30;
/** The same where times come in whole seconds or two, as on FAT and old network file systems. */
const COARSE_GRANULARITY_MS = 2500;
const DAY_MS = 86_400_000;
const KEPT_DAYS = 30;

/** True when another change of the file after `atMs` could leave its ctime as it is. */
export function isRacy(stat: FileStat, atMs: number): boolean {
  const granularity = Number.isInteger(stat.ctimeMs / 1000) ? COARSE_GRANULARITY_MS : GRANULARITY_MS;
  return stat.ctimeMs + granularity >= atMs;
}

interface Position {
  readonly chunk: StatChunk;
  readonly index: number;
}

class Session implements StatCacheSession {
  readonly #db: MetaDatabase;
  readonly #root: string;
  readonly #now: () => number;
  readonly #today: number;
  #chunks: StatChunk[] | undefined;
  /** Path to chunk number * CHUNK_ENTRIES + index; made when a path does not come where it is expected. */
  #positions: Map<string, number> | undefined;
  /** Where the next path is expected: walks come in the order in which entries were saved. */
  #next = 0;

  constructor(db: MetaDatabase, root: string, now: () => number) {
    this.#db = db;
    this.#root = root;
    this.#now = now;
    this.#today = Math.floor(now() / DAY_MS);
  }

  get(path: string, stat: FileStat): Digest | undefined {
    const found = this.#find(path);
    if (found === undefined || !found.chunk.matches(found.index, stat)) return undefined;
    // The day is enough: it makes a chunk dirty once a day.
    if (found.chunk.seenDay(found.index) !== this.#today) found.chunk.markSeen(found.index, this.#today);
    return digestFromHex(found.chunk.digestHex(found.index));
  }

  put(path: string, stat: FileStat, digest: Digest, recordedAtMs: number): void {
    const found = this.#find(path);
    if (isRacy(stat, recordedAtMs)) {
      found?.chunk.erase(found.index);
    } else {
      const { chunk, index } = found ?? this.#append(path);
      chunk.write(index, stat, digestHex(digest), this.#today);
    }
  }

  flush(): void {
    const chunks = this.#load();
    if (!chunks.some((chunk) => chunk.isDirty)) return;
    const isCompacted = this.#compact();
    this.#db.transaction(() => {
      if (isCompacted) this.#db.run('DELETE FROM stat_cache WHERE root = ?', this.#root);
      for (const [number, chunk] of this.#load().entries()) if (chunk.isDirty) this.#save(number, chunk);
    });
  }

  #find(path: string): Position | undefined {
    const expected = this.#at(this.#next);
    if (expected !== undefined && expected.chunk.paths[expected.index] === path) {
      this.#next += 1;
      return expected;
    }
    this.#positions ??= positionsOf(this.#load());
    const position = this.#positions.get(path);
    if (position === undefined) return undefined;
    this.#next = position + 1;
    return this.#at(position);
  }

  #at(position: number): Position | undefined {
    const chunk = this.#load()[Math.floor(position / CHUNK_ENTRIES)];
    const index = position % CHUNK_ENTRIES;
    return chunk === undefined || index >= chunk.paths.length ? undefined : { chunk, index };
  }

  #append(path: string): Position {
    const chunks = this.#load();
    let chunk = chunks.at(-1);
    if (chunk === undefined || chunk.paths.length === CHUNK_ENTRIES) {
      chunk = new StatChunk();
      chunks.push(chunk);
    }
    const index = chunk.paths.push(path) - 1;
    this.#positions?.set(path, (chunks.length - 1) * CHUNK_ENTRIES + index);
    return { chunk, index };
  }

  #load(): StatChunk[] {
    this.#chunks ??= this.#db
      .all('SELECT entries FROM stat_cache WHERE root = ? ORDER BY chunk', this.#root)
      .map(({ entries }) => (entries instanceof Uint8Array ? StatChunk.decode(entries) : new StatChunk()));
    return this.#chunks;
  }

  #save(number: number, chunk: StatChunk): void {
    this.#db.run(
      'INSERT OR REPLACE INTO stat_cache (root, chunk, entries, saved_at_ms) VALUES (?, ?, ?, ?)',
      this.#root,
      number,
      chunk.encode(),
      this.#now(),
    );
    chunk.isDirty = false;
  }

  /** Rewrites the chunks without entries that are erased or were not asked for in a month, once they are worth it. */
  #compact(): boolean {
    const chunks = this.#load();
    let total = 0;
    let live = 0;
    for (const chunk of chunks) {
      total += chunk.paths.length;
      for (const index of chunk.paths.keys()) if (this.#isLive(chunk, index)) live += 1;
    }
    if (live > total / 2) return false;
    const compacted: StatChunk[] = [];
    for (const chunk of chunks) {
      for (const index of chunk.paths.keys()) {
        if (!this.#isLive(chunk, index)) continue;
        if ((compacted.at(-1)?.paths.length ?? CHUNK_ENTRIES) === CHUNK_ENTRIES) compacted.push(new StatChunk());
        compacted.at(-1)?.take(chunk, index);
      }
    }
    this.#chunks = compacted;
    this.#positions = undefined;
    this.#next = 0;
    return true;
  }

  #isLive(chunk: StatChunk, index: number): boolean {
    return this.#today - chunk.seenDay(index) <= KEPT_DAYS;
  }
}

function positionsOf(chunks: readonly StatChunk[]): Map<string, number> {
  const positions = new Map<string, number>();
  for (const [number, { paths }] of chunks.entries()) {
    for (let index = 0; index < paths.length; index += 1) {
      positions.set(paths[index] ?? '', number * CHUNK_ENTRIES + index);
    }
  }
  return positions;
}
