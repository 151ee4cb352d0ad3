// Remembered files as columns, in chunks of fixed size, and a chunk's form on disk: two typed arrays and the joined paths.
// Nothing is parsed on loading, and one changed file costs the writing of one chunk.
import type { FileNode } from '../snapshot/file-tree.ts';

/** What an lstat says about a file, as in FileNode. */
export type FileStat = Pick<FileNode, 'dev' | 'ino' | 'ctimeMs' | 'mtimeMs' | 'size' | 'mode' | 'uid' | 'gid'>;

/** Entries per chunk. */
export const CHUNK_ENTRIES = 1024;
/** Numbers per entry: those of FileStat, then the day on which it was last asked for. */
const COLUMNS = 9;
const DIGEST_BYTES = 32;
// "tsbstat" and the version of this form.
const MAGIC = 'tsbstat1';
const HEADER_BYTES = 16;

/** Up to CHUNK_ENTRIES files. Entries are overwritten in place and never move. */
export class StatChunk {
  readonly paths: string[];
  readonly #numbers = new Float64Array(CHUNK_ENTRIES * COLUMNS);
  readonly #digests: Buffer = Buffer.alloc(CHUNK_ENTRIES * DIGEST_BYTES);
  /** True when it is not as it is on disk. */
  isDirty = false;

  constructor(paths: string[] = []) {
    this.paths = paths;
  }

  /** The inverse of `encode`; bytes that are not of its form make an empty chunk. */
  static decode(stored: Uint8Array): StatChunk {
    const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
    if (bytes.length < HEADER_BYTES || bytes.toString('latin1', 0, 8) !== MAGIC) return new StatChunk();
    const count = bytes.readDoubleLE(8);
    const digestsAt = HEADER_BYTES + count * COLUMNS * 8;
    const pathsAt = digestsAt + count * DIGEST_BYTES;
    if (!Number.isInteger(count) || count < 1 || count > CHUNK_ENTRIES || pathsAt > bytes.length)
      return new StatChunk();
    const paths = bytes.toString('utf8', pathsAt).split('\0');
    if (paths.length !== count) return new StatChunk();
    const chunk = new StatChunk(paths);
    new Uint8Array(chunk.#numbers.buffer).set(bytes.subarray(HEADER_BYTES, digestsAt));
    chunk.#digests.set(bytes.subarray(digestsAt, pathsAt));
    return chunk;
  }

  /** Little-endian doubles, digests, then the paths as UTF-8 joined by NUL. */
  encode(): Uint8Array {
    const count = this.paths.length;
    const header = Buffer.alloc(HEADER_BYTES);
    header.write(MAGIC, 'latin1');
    header.writeDoubleLE(count, 8);
    return Buffer.concat([
      header,
      new Uint8Array(this.#numbers.buffer, 0, count * COLUMNS * 8),
      this.#digests.subarray(0, count * DIGEST_BYTES),
      Buffer.from(this.paths.join('\0'), 'utf8'),
    ]);
  }

  matches(index: number, stat: FileStat): boolean {
    const numbers = this.#numbers;
    const at = index * COLUMNS;
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

  /** 64 hex digits. */
  digestHex(index: number): string {
    return this.#digests.toString('hex', index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
  }

  write(index: number, stat: FileStat, hex: string, seenDay: number): void {
    const { dev, ino, ctimeMs, mtimeMs, size, mode, uid, gid } = stat;
    this.#numbers.set([dev, ino, ctimeMs, mtimeMs, size, mode, uid, gid, seenDay], index * COLUMNS);
    this.#digests.write(hex, index * DIGEST_BYTES, 'hex');
    this.isDirty = true;
  }

  /** Makes the entry match no file. */
  erase(index: number): void {
    this.#numbers.fill(Number.NaN, index * COLUMNS, (index + 1) * COLUMNS);
    this.isDirty = true;
  }

  /** NaN for an erased entry. */
  seenDay(index: number): number {
    return this.#numbers[(index + 1) * COLUMNS - 1] ?? Number.NaN;
  }

  markSeen(index: number, day: number): void {
    this.#numbers[(index + 1) * COLUMNS - 1] = day;
    this.isDirty = true;
  }

  /** Appends a copy of another chunk's entry. */
  take(from: StatChunk, index: number): void {
    const at = this.paths.length;
    this.#numbers.set(from.#numbers.subarray(index * COLUMNS, (index + 1) * COLUMNS), at * COLUMNS);
    this.#digests.set(from.#digests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES), at * DIGEST_BYTES);
    this.paths.push(from.paths[index] ?? '');
    this.isDirty = true;
  }
}
