// Reads a cache mount's directory: its files with all that is kept of them, and the chunks they are made of.
import { hash } from 'node:crypto';
import { type BigIntStats, closeSync, constants, lstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import { getXattr, listXattrs } from '../sys/libc.ts';
import { decodeName, readNames, toFsPath } from '../sys/path-bytes.ts';
import { isOwnerRecord, ownerOf } from '../sys/recorded-owner.ts';
import type { Slices } from '../sys/turns.ts';
import { CHUNK_BYTES, chunkLength } from './chunker.ts';
import type { MountChunk, MountEntry, MountEntryKind } from './mount-index.ts';

/** A chunk with a place where it can be read. */
export interface FoundChunk extends MountChunk {
  readonly hostPath: string;
  readonly offset: number;
}

const BUFFER_BYTES = 4 * CHUNK_BYTES.max;

/** Sockets and devices are left out. `chunks` gets each chunk that it lacks, in the order of the files. Nobody may write meanwhile. */
export function* readMount(directory: string, chunks: Map<string, FoundChunk>): Slices<readonly MountEntry[]> {
  const reader = new MountReader(chunks);
  yield* reader.read(directory, '');
  return reader.entries;
}

/** As the chunk's id. */
export function chunkID(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

class MountReader {
  readonly entries: MountEntry[] = [];
  readonly #chunks: Map<string, FoundChunk>;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly #firstNames = new Map<string, string>();

  constructor(chunks: Map<string, FoundChunk>) {
    this.#chunks = chunks;
  }

  *read(hostPath: string, path: string): Slices<void> {
    const stats = lstatSync(toFsPath(hostPath), { bigint: true });
    const kind = kindOf(stats);
    if (kind === undefined) return;
    const first = kind === 'dir' ? undefined : this.#firstNameOf(stats, path);
    if (first !== undefined) {
      this.#add({ hostPath, path, kind: 'link', stats }, { target: first });
    } else if (kind === 'file') {
      this.#add({ hostPath, path, kind, stats }, { chunks: yield* this.#readFile(hostPath) });
    } else if (kind === 'symlink') {
      const target = decodeName(readlinkSync(toFsPath(hostPath), { encoding: 'buffer' }));
      this.#add({ hostPath, path, kind, stats }, { target });
    } else this.#add({ hostPath, path, kind, stats }, {});
    yield;
    if (kind !== 'dir') return;
    const below = path === '' ? '' : `${path}/`;
    for (const name of readNames(hostPath)) yield* this.read(`${hostPath}/${name}`, `${below}${name}`);
  }

  #add(
    { hostPath, path, kind, stats }: ReadFile,
    { chunks = [], target = '' }: Partial<Pick<MountEntry, 'chunks' | 'target'>>,
  ): void {
    const mode = Number(stats.mode);
    const { uid, gid } = ownerOf(hostPath, { mode, uid: Number(stats.uid), gid: Number(stats.gid) });
    this.entries.push({
      path,
      kind,
      mode: mode & 0o7777,
      uid,
      gid,
      mtimeNs: stats.mtimeNs,
      xattrs: kind === 'file' || kind === 'dir' ? xattrsOf(hostPath) : [],
      chunks,
      target,
    });
  }

  /** The name under which the file has been read already. */
  #firstNameOf({ dev, ino, nlink }: BigIntStats, path: string): string | undefined {
    if (nlink < 2n) return undefined;
    const inode = `${dev}:${ino}`;
    const first = this.#firstNames.get(inode);
    if (first === undefined) this.#firstNames.set(inode, path);
    return first;
  }

  *#readFile(hostPath: string): Slices<readonly string[]> {
    const fd = openSync(toFsPath(hostPath), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return yield* this.#cut(fd, hostPath);
    } finally {
      closeSync(fd);
    }
  }

  *#cut(fd: number, hostPath: string): Slices<readonly string[]> {
    const buffer = this.#buffer;
    const ids: string[] = [];
    let [start, end, isAtEnd] = [0, 0, false];
    for (let offset = 0; ; ) {
      if (!isAtEnd && end - start < CHUNK_BYTES.max) {
        buffer.copyWithin(0, start, end);
        [start, end] = [0, end - start];
        for (let count = -1; count !== 0 && end < BUFFER_BYTES; end += count) {
          count = readSync(fd, buffer, end, BUFFER_BYTES - end, null);
          isAtEnd = count === 0;
        }
      }
      if (start === end) return ids;
      const length = chunkLength(buffer, start, end);
      const id = chunkID(buffer.subarray(start, start + length));
      ids.push(id);
      if (!this.#chunks.has(id)) this.#chunks.set(id, { id, length, hostPath, offset });
      start += length;
      offset += length;
      yield;
    }
  }
}

interface ReadFile {
  readonly hostPath: string;
  readonly path: string;
  readonly kind: MountEntryKind;
  readonly stats: BigIntStats;
}

function kindOf(stats: BigIntStats): MountEntryKind | undefined {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'dir';
  if (stats.isSymbolicLink()) return 'symlink';
  return stats.isFIFO() ? 'fifo' : undefined;
}

/** Others belong to the kernel or to this machine. */
function xattrsOf(hostPath: string): MountEntry['xattrs'] {
  return listXattrs(hostPath)
    .filter((name) => name === 'security.capability' || (name.startsWith('user.') && !isOwnerRecord(name, true)))
    .flatMap((name) => {
      const value = getXattr(hostPath, name);
      return value === undefined ? [] : [[name, value] as const];
    });
}
