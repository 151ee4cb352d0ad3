// The layer of a snapshot: its changes as a tar, as https://github.com/opencontainers/image-spec/blob/main/layer.md has it
// and as BuildKit writes it. Deleted entries become empty `.wh.` files with mode 0 at the epoch; of the extended attributes
// only security.capability is kept. Memory stays at one buffer whatever the layer's size; holes come out as zeros.
//
// Two paths of one inode become an entry and a link to it. So the store must never give two paths of one snapshot the same
// inode unless they were hard links of each other; files of different snapshots may share one.
import { createHash } from 'node:crypto';
import { closeSync, constants, lstatSync, openSync, readSync } from 'node:fs';
import { digestFromHex } from '../../solver/digest.ts';
import type { FileNode } from '../snapshot/file-tree.ts';
import { RootView } from '../snapshot/root-view.ts';
import type { LayerSum } from '../snapshot/snapshotter.ts';
import { WHITEOUT_PREFIX } from '../snapshot/whiteout-names.ts';
import { getXattr } from '../sys/libc.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import { type Change, compareSnapshot } from './compare.ts';
import {
  encodeTarHeader,
  TAR_BLOCK,
  TAR_END_LENGTH,
  type TarEntry,
  tarPadding,
  writePlainHeader,
} from './tar-writer.ts';

/** The directories of one snapshot: its changes, and what they are changes of. */
export interface SnapshotDirs {
  readonly upperDir: string;
  /** Newest first. */
  readonly lowerDirs: readonly string[];
}

interface WriteLayerOptions {
  /** Hands out one buffer again and again: each chunk is valid until the next is asked for. */
  readonly isBufferReused?: boolean;
  /** Later times become this one: for layers that do not tell when they were made. */
  readonly maxMtimeSeconds?: number;
}

const CHUNK_BYTES = 256 * 1024;
const CAPABILITY = 'security.capability';

/** The layer tar of a snapshot in chunks, equal bytes for equal files. Throws TSB_LAYER_UNREPRESENTABLE. */
export function* writeLayer(dirs: SnapshotDirs, options: WriteLayerOptions = {}): Generator<Buffer> {
  const output = new ChunkBuffer(options.isBufferReused === true);
  const linkSources = new Map<string, string>();
  for (const change of compareSnapshot(dirs.upperDir, new RootView(dirs.lowerDirs))) {
    if (output.free < TAR_BLOCK) yield output.take();
    const entry = toTarEntry(change, linkSources, options.maxMtimeSeconds ?? Number.POSITIVE_INFINITY);
    if (!output.addPlainHeader(entry)) yield* addBytes(output, encodeTarHeader(entry));
    if (entry.size > 0 && change.kind !== 'delete') yield* addFile(output, change.node);
  }
  yield* addBytes(output, Buffer.alloc(TAR_END_LENGTH));
  yield output.take();
}

/** Digest and length of the snapshot's layer, without keeping a byte of it. */
export function computeDiffID(dirs: SnapshotDirs): LayerSum {
  const sum = computeDiffIDWithin(dirs, Number.POSITIVE_INFINITY);
  if (sum === undefined) throw new Error('internal error: a layer longer than any');
  return sum;
}

/** As `computeDiffID`, but gives up with undefined once the layer turns out longer than `limitBytes`. */
export function computeDiffIDWithin(dirs: SnapshotDirs, limitBytes: number): LayerSum | undefined {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for (const chunk of writeLayer(dirs, { isBufferReused: true })) {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) return undefined;
    hash.update(chunk);
  }
  return { diffID: digestFromHex(hash.digest('hex')), sizeBytes };
}

/** A buffer that is filled, taken and filled again. */
class ChunkBuffer {
  readonly #isReused: boolean;
  #bytes = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #used = 0;

  constructor(isReused: boolean) {
    this.#isReused = isReused;
  }

  get free(): number {
    return CHUNK_BYTES - this.#used;
  }

  take(): Buffer {
    const chunk = this.#bytes.subarray(0, this.#used);
    if (!this.#isReused) this.#bytes = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.#used = 0;
    return chunk;
  }

  /** Copies what fits and returns how much that was. */
  add(source: Buffer, from: number): number {
    const length = source.copy(this.#bytes, this.#used, from);
    this.#used += length;
    return length;
  }

  addZeros(length: number): void {
    this.#bytes.fill(0, this.#used, this.#used + length);
    this.#used += length;
  }

  addPlainHeader(entry: TarEntry): boolean {
    this.#bytes.fill(0, this.#used, this.#used + TAR_BLOCK);
    if (!writePlainHeader(this.#bytes, this.#used, entry)) return false;
    this.#used += TAR_BLOCK;
    return true;
  }

  readFrom(fd: number, length: number): number {
    const count = readSync(fd, this.#bytes, this.#used, Math.min(length, this.free), null);
    this.#used += count;
    return count;
  }
}

function* addBytes(output: ChunkBuffer, bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    if (output.free === 0) yield output.take();
    at += output.add(bytes, at);
  }
}

function* addFile(output: ChunkBuffer, node: FileNode): Generator<Buffer> {
  const fd = openSync(toFsPath(node.hostPath), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (let left = node.size; left > 0; ) {
      if (output.free === 0) yield output.take();
      const count = output.readFrom(fd, left);
      if (count === 0) throw new Error(`internal error: file shrank while its layer was written: ${node.hostPath}`);
      left -= count;
    }
  } finally {
    closeSync(fd);
  }
  // Chunks end on block boundaries or inside a file, so the padding always fits.
  output.addZeros(tarPadding(node.size));
}

function toTarEntry(change: Change, linkSources: Map<string, string>, maxMtimeSeconds: number): TarEntry {
  if (change.kind === 'delete') return whiteoutEntry(change.path);
  const { node } = change;
  const name = node.type === 'dir' ? `${change.path.slice(1)}/` : change.path.slice(1);
  const { mode, uid, gid } = node;
  const source = linkSourceOf(node, name, linkSources);
  // On anything else it says who the owner is, see recorded-owner.ts.
  const hasCapability = node.type === 'file' || node.type === 'dir';
  const capability = hasCapability ? getXattr(node.hostPath, CAPABILITY) : undefined;
  return {
    name,
    type: source === undefined ? layerType(node) : 'link',
    mode,
    uid,
    gid,
    size: source === undefined ? node.size : 0,
    mtimeSeconds: Math.min(wholeSeconds(node), maxMtimeSeconds),
    linkName: source ?? node.linkTarget,
    rdev: node.rdev,
    ...(capability === undefined ? {} : { xattrs: [[CAPABILITY, capability]] }),
  };
}

function whiteoutEntry(path: string): TarEntry {
  const slash = path.lastIndexOf('/');
  const name = `${path.slice(1, slash + 1)}${WHITEOUT_PREFIX}${path.slice(slash + 1)}`;
  return { name, type: 'file', mode: 0, uid: 0, gid: 0, size: 0, mtimeSeconds: 0, isPrefixAllowed: true };
}

/** The name already written for the node's inode, or undefined after remembering this one. */
function linkSourceOf(node: FileNode, name: string, linkSources: Map<string, string>): string | undefined {
  if (node.nlink < 2 || node.type === 'dir') return undefined;
  const inode = `${node.dev}:${node.ino}`;
  const source = linkSources.get(inode);
  if (source === undefined) linkSources.set(inode, name);
  return source;
}

function layerType({ type, path }: FileNode): Exclude<FileNode['type'], 'socket'> {
  if (type === 'socket') throw new Error(`internal error: a socket in a layer: ${path}`);
  return type;
}

/** A time in ms as a double can round up to the next whole second; only then is the exact one asked for. */
function wholeSeconds(node: FileNode): number {
  if (node.mtimeMs % 1000 !== 0) return Math.floor(node.mtimeMs / 1000);
  const { mtimeNs } = lstatSync(toFsPath(node.hostPath), { bigint: true });
  const seconds = mtimeNs / 1_000_000_000n;
  return Number(mtimeNs < 0n && seconds * 1_000_000_000n !== mtimeNs ? seconds - 1n : seconds);
}
