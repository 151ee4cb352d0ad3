// Remembers the content digests of context files between builds, so that a file is read again only when it may have changed.
//
// A file counts as unchanged when device, inode, ctime, mtime, size, mode, uid and gid are all as they were. No call can
// set a ctime, so this only fails within one tick of the file system's clock: an entry whose file had been changed so
// short before it was looked at that a second change could bear the same ctime is not remembered at all.
import { type Digest, digestFromHex, digestHex } from '../../solver/digest.ts';
import type { FileNode } from '../snapshot/file-tree.ts';
import type { MetaDatabase } from '../store/meta-database.ts';
import {
  COLUMN_COUNT,
  decodeEntries,
  DIGEST_BYTES,
  encodeEntries,
  NO_ENTRIES,
  type StatEntries,
} from './stat-entries.ts';

/** What an lstat says about a file, as in FileNode. */
export type FileStat = Pick<FileNode, 'dev' | 'ino' | 'ctimeMs' | 'mtimeMs' | 'size' | 'mode' | 'uid' | 'gid'>;

export interface StatCacheSession {
  /** The digest put for this path, when the file is certainly still the same. */
  get(path: string, stat: FileStat): Digest | undefined;
  /** Remembers the digest of a file's bytes. `recordedAtMs`: a time before the bytes were read and not before `stat` was taken. */
  put(path: string, stat: FileStat, digest: Digest, recordedAtMs: number): void;
  /** Writes to the store what has changed since `open`; nothing when nothing has. */
  flush(): void;
}

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

interface Fresh {
  readonly stat: FileStat;
  readonly digest: Digest;
}

class Session implements StatCacheSession {
  readonly #db: MetaDatabase;
  readonly #root: string;
  readonly #today: number;
  readonly #now: () => number;
  /** Entries put in this session; undefined for one that was found racy. */
  readonly #fresh = new Map<string, Fresh | undefined>();
  #entries: StatEntries = NO_ENTRIES;
  #indexes: Map<string, number> | undefined;
  /** Where the next path is expected: walks come in the order in which entries were saved. */
  #next = 0;
  #isOld = false;

  constructor(db: MetaDatabase, root: string, now: () => number) {
    this.#db = db;
    this.#root = root;
    this.#now = now;
    this.#today = Math.floor(now() / DAY_MS);
  }

  get(path: string, stat: FileStat): Digest | undefined {
    if (this.#fresh.has(path)) {
      const fresh = this.#fresh.get(path);
      return fresh !== undefined && isSame(fresh.stat, stat) ? fresh.digest : undefined;
    }
    const index = this.#indexOf(path);
    if (index === undefined || !matches(this.#entries.numbers, index, stat)) return undefined;
    this.#markSeen(index);
    const start = index * DIGEST_BYTES;
    // The column holds Buffers' bytes: see decodeEntries.
    const digests = this.#entries.digests;
    return digestFromHex(Buffer.from(digests.buffer, digests.byteOffset + start, DIGEST_BYTES).toString('hex'));
  }

  put(path: string, stat: FileStat, digest: Digest, recordedAtMs: number): void {
    const isTrusted = !isRacy(stat, recordedAtMs);
    // A racy file never seen before changes nothing.
    if (isTrusted || this.#indexOf(path) !== undefined || this.#fresh.has(path)) {
      this.#fresh.set(path, isTrusted ? { stat, digest } : undefined);
    }
  }

  flush(): void {
    if (this.#fresh.size === 0 && !this.#isOld) return;
    const merged = this.#merge();
    this.#db.run(
      'INSERT OR REPLACE INTO stat_cache (root, entries, saved_at_ms) VALUES (?, ?, ?)',
      this.#root,
      encodeEntries(merged),
      this.#now(),
    );
    this.#entries = merged;
    this.#indexes = indexPaths(merged.paths);
    this.#fresh.clear();
    this.#isOld = false;
  }

  #indexOf(path: string): number | undefined {
    const indexes = this.#load();
    if (this.#entries.paths[this.#next] === path) {
      this.#next += 1;
      return this.#next - 1;
    }
    const index = indexes.get(path);
    if (index !== undefined) this.#next = index + 1;
    return index;
  }

  #load(): ReadonlyMap<string, number> {
    if (this.#indexes === undefined) {
      const row = this.#db.get('SELECT entries FROM stat_cache WHERE root = ?', this.#root);
      this.#entries = row?.entries instanceof Uint8Array ? decodeEntries(row.entries) : NO_ENTRIES;
      this.#indexes = indexPaths(this.#entries.paths);
    }
    return this.#indexes;
  }

  /** The day is enough, and is saved only when it is worth it: once a day or with other changes. */
  #markSeen(index: number): void {
    const at = index * COLUMN_COUNT + COLUMN_COUNT - 1;
    if (this.#entries.numbers[at] === this.#today) return;
    this.#entries.numbers[at] = this.#today;
    this.#isOld = true;
  }

  #merge(): StatEntries {
    this.#load();
    const old = this.#entries;
    const kept = old.paths.filter((path, index) => this.#isKept(path, index)).length;
    const added = [...this.#fresh].filter((pair): pair is [string, Fresh] => pair[1] !== undefined);
    const paths: string[] = [];
    const numbers = new Float64Array((kept + added.length) * COLUMN_COUNT);
    const digests = new Uint8Array((kept + added.length) * DIGEST_BYTES);
    for (const [index, path] of old.paths.entries()) {
      if (!this.#isKept(path, index)) continue;
      numbers.set(old.numbers.subarray(index * COLUMN_COUNT, (index + 1) * COLUMN_COUNT), paths.length * COLUMN_COUNT);
      digests.set(old.digests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES), paths.length * DIGEST_BYTES);
      paths.push(path);
    }
    for (const [path, { stat, digest }] of added) {
      writeStat(numbers, paths.length * COLUMN_COUNT, stat, this.#today);
      digests.set(Buffer.from(digestHex(digest), 'hex'), paths.length * DIGEST_BYTES);
      paths.push(path);
    }
    return { paths, numbers, digests };
  }

  #isKept(path: string, index: number): boolean {
    const seenDay = this.#entries.numbers[(index + 1) * COLUMN_COUNT - 1] ?? 0;
    return !this.#fresh.has(path) && this.#today - seenDay <= KEPT_DAYS;
  }
}

function indexPaths(paths: readonly string[]): Map<string, number> {
  const indexes = new Map<string, number>();
  for (let index = 0; index < paths.length; index += 1) indexes.set(paths[index] ?? '', index);
  return indexes;
}

function isSame(a: FileStat, b: FileStat): boolean {
  const numbers = new Float64Array(COLUMN_COUNT);
  writeStat(numbers, 0, a, 0);
  return matches(numbers, 0, b);
}

function matches(numbers: Float64Array, index: number, stat: FileStat): boolean {
  const at = index * COLUMN_COUNT;
  return (
    numbers[at] === stat.dev &&
    numbers[at + 1] === stat.ino &&
    numbers[at + 2] === stat.ctimeMs &&
    numbers[at + 3] === stat.mtimeMs &&
    numbers[at + 4] === stat.size &&
    numbers[at + 5] === stat.mode &&
    numbers[at + 6] === stat.uid &&
    numbers[at + 7] === stat.gid
  );
}

/** In the order of COLUMNS. */
function writeStat(numbers: Float64Array, at: number, stat: FileStat, seenDay: number): void {
  numbers.set([stat.dev, stat.ino, stat.ctimeMs, stat.mtimeMs, stat.size, stat.mode, stat.uid, stat.gid, seenDay], at);
}
