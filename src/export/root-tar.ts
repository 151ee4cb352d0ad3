// A root filesystem as one tar: every entry of the tree in byte order, with owner, mode, links and extended attributes.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { encodeTarHeader, TAR_END_LENGTH, type TarEntryType, tarPadding } from '../diff/tar-writer.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { toFsPath } from '../sys/path-bytes.ts';

const CHUNK_BYTES = 256 * 1024;

/**
 * Chunks are valid until the next is asked for. Sockets are left out; times after `latestMs` become that one. Throws
 * TSB_LAYER_UNREPRESENTABLE.
 */
export function* rootTar(tree: FileTree, latestMs = Number.POSITIVE_INFINITY): Generator<Uint8Array> {
  yield* rootEntries(tree, '', latestMs);
  yield Buffer.alloc(TAR_END_LENGTH);
}

/** Several root filesystems in one tar, each in a directory of its own. */
export function* splitTar(
  trees: Iterable<readonly [directory: string, tree: FileTree, latestMs: number | undefined]>,
): Generator<Uint8Array> {
  for (const [directory, tree, latestMs] of trees) {
    const name = `${directory}/`;
    yield encodeTarHeader({ name, type: 'dir', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSeconds: 0 });
    yield* rootEntries(tree, name, latestMs ?? Number.POSITIVE_INFINITY);
  }
  yield Buffer.alloc(TAR_END_LENGTH);
}

function* rootEntries(tree: FileTree, prefix: string, latestMs: number): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const firstNames = new Map<string, string>();
  for (const node of walk(tree)) {
    if (node.type === 'socket') continue;
    const name = `${prefix}${node.path.slice(1)}${node.type === 'dir' ? '/' : ''}`;
    const source = linkSource(node, name, firstNames);
    yield encodeHeader(tree, { ...node, mtimeMs: Math.min(node.mtimeMs, latestMs) }, name, source);
    if (node.type === 'file' && source === undefined) yield* fileBytes(node, buffer);
  }
}

/** Every entry but the root, a directory before its entries, in byte order of the names in each directory. */
export function* walk(tree: FileTree): Generator<FileNode> {
  const pending = [...tree.list('/')].reverse();
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    yield node;
    if (node.type === 'dir') pending.push(...[...tree.list(node.path)].reverse());
  }
}

/** The name under which this inode came before, or undefined after remembering this one. */
export function linkSource(node: FileNode, name: string, firstNames: Map<string, string>): string | undefined {
  if (node.nlink < 2 || node.type === 'dir') return undefined;
  const inode = `${node.dev}:${node.ino}`;
  const first = firstNames.get(inode);
  if (first === undefined) firstNames.set(inode, name);
  return first;
}

function encodeHeader(tree: FileTree, node: FileNode, name: string, source: string | undefined): Buffer {
  // The caller has left sockets out.
  const type = source === undefined ? (node.type as TarEntryType) : 'link';
  return encodeTarHeader({
    name,
    type,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    size: source === undefined ? node.size : 0,
    mtimeSeconds: Math.floor(node.mtimeMs / 1000),
    linkName: source ?? node.linkTarget,
    rdev: node.rdev,
    ...(source === undefined && node.type !== 'symlink' ? { xattrs: tree.xattrs(node) } : {}),
  });
}

function* fileBytes(node: FileNode, buffer: Buffer): Generator<Uint8Array> {
  const fd = openSync(toFsPath(node.hostPath), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (let left = node.size; left > 0; ) {
      const count = readSync(fd, buffer, 0, Math.min(left, buffer.length), null);
      if (count === 0) throw new Error(`internal error: file shrank while it was exported: ${node.hostPath}`);
      yield buffer.subarray(0, count);
      left -= count;
    }
  } finally {
    closeSync(fd);
  }
  yield Buffer.alloc(tarPadding(node.size));
}
