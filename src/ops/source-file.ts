// Reading files to digest them. A digest is over a node as it was seen (its header) and exactly as many bytes as it had.

import { createHash, hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { type Digest, digestFromHex } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { FileNode, FileTree, FileType } from '../snapshot/file-tree.ts';
import { readLink } from '../snapshot/file-node.ts';
import { codeOf } from '../sys/error-code.ts';
import { openNoLinks } from '../sys/libc.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import { atOnce, type Slices } from '../sys/turns.ts';

const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Opens the file's bytes, never through a link, its directories included. The caller closes it. */
export function openSource(node: FileNode): number {
  try {
    return openNoLinks(node.hostPath, READ);
  } catch (cause) {
    const code = codeOf(cause);
    if (code === 'ENOSYS' || code === 'EPERM') return openWithLook(node);
    throw readFailure(node, cause);
  }
}

/** The same where openat2 is not to be had: sees afterwards whether a link led elsewhere. */
export function openWithLook(node: FileNode): number {
  let fd: number;
  try {
    fd = openSync(toFsPath(node.hostPath), READ);
  } catch (cause) {
    throw readFailure(node, cause);
  }
  if (readLink(`/proc/self/fd/${fd}`) === node.hostPath) return fd;
  closeSync(fd);
  throw changedWhileRead(node);
}

/** What a failure to read something of a context means to the user; other failures as they are. */
export function readFailure(node: Pick<FileNode, 'path'>, cause: unknown): unknown {
  const code = codeOf(cause);
  // EINVAL: what was a link is none any more.
  if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENOTDIR' || code === 'EINVAL') return changedWhileRead(node);
  if (code !== 'EACCES' && code !== 'EPERM') return cause;
  return new TsbuildError('TSB_COPY_SOURCE_UNREADABLE', `no permission to read "${node.path}"`, {
    cause,
    hint: 'change its mode, or name it in .dockerignore when the build does not need it',
  });
}

/** The file is another one than the build has seen. */
export function changedWhileRead(node: Pick<FileNode, 'path'>): TsbuildError {
  return new TsbuildError('TSB_CONTEXT_CHANGED', `"${node.path}" changed while the build was reading it`, {
    hint: 'build again when nothing writes to it, or name it in .dockerignore',
  });
}

/** True when the stat is of the very file, unchanged, that the node describes. */
function isSameFile(node: FileNode, stats: Stats): boolean {
  return (
    stats.ctimeMs === node.ctimeMs &&
    stats.mtimeMs === node.mtimeMs &&
    stats.ino === node.ino &&
    stats.dev === node.dev &&
    stats.size === node.size
  );
}

const BUFFER_SIZE = 1 << 18;

/** Where the header of a small file goes, so that header and bytes are digested in one call. */
const HEADER_ROOM = 1 << 14;

/** One reused buffer for headers and bytes. */
export class FileDigester {
  readonly #buffer = Buffer.allocUnsafe(HEADER_ROOM + BUFFER_SIZE);

  /**
   * BuildKit's digest of the node, and whether the file was the same, unchanged one from the moment the node was made
   * until its last byte was read. Throws TSB_CONTEXT_CHANGED when it has become shorter or another kind of file.
   */
  digest(tree: FileTree, node: FileNode): { readonly digest: Digest; readonly isStable: boolean } {
    const header = headerOf(node, tree.xattrs(node));
    if (node.type !== 'file' || node.size === 0) {
      return { digest: digestFromHex(hash('sha256', header, 'hex')), isStable: true };
    }
    const fd = openSource(node);
    try {
      const digest = this.#digestBytes(fd, node, header);
      return { digest, isStable: isSameFile(node, fstatSync(fd)) };
    } finally {
      closeSync(fd);
    }
  }

  /** The same of a regular file that is not empty, with pauses. */
  *digestSlowly(tree: FileTree, node: FileNode): Slices<{ readonly digest: Digest; readonly isStable: boolean }> {
    const fd = openSource(node);
    try {
      const digest = yield* this.#digestLarge(fd, node, headerOf(node, tree.xattrs(node)));
      return { digest, isStable: isSameFile(node, fstatSync(fd)) };
    } finally {
      closeSync(fd);
    }
  }

  /** The digest of the node if its bytes were those at `hostPath`. */
  digestAs(tree: FileTree, node: FileNode, hostPath: string): Digest {
    const header = headerOf(node, tree.xattrs(node));
    if (node.type !== 'file' || node.size === 0) return digestFromHex(hash('sha256', header, 'hex'));
    const fd = openSource({ ...node, hostPath });
    try {
      return this.#digestBytes(fd, node, header);
    } finally {
      closeSync(fd);
    }
  }

  #digestBytes(fd: number, node: FileNode, header: Buffer): Digest {
    if (node.size > BUFFER_SIZE || header.length > HEADER_ROOM) return atOnce(this.#digestLarge(fd, node, header));
    header.copy(this.#buffer);
    const length = readFully(fd, this.#buffer, header.length, node.size, 0);
    if (length < node.size) throw changedWhileRead(node);
    return digestFromHex(hash('sha256', this.#buffer.subarray(0, header.length + length), 'hex'));
  }

  *#digestLarge(fd: number, node: FileNode, header: Buffer): Slices<Digest> {
    const sum = createHash('sha256').update(header);
    for (let position = 0; position < node.size; ) {
      const wanted = Math.min(this.#buffer.length, node.size - position);
      const length = readFully(fd, this.#buffer, 0, wanted, position);
      if (length < wanted) throw changedWhileRead(node);
      sum.update(this.#buffer.subarray(0, length));
      position += length;
      yield;
    }
    return digestFromHex(sum.digest('hex'));
  }
}

/** Reads until `length` bytes or the file's end; the number of bytes read. What is no file has none. */
export function readFully(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
  let total = 0;
  try {
    while (total < length) {
      const count = readSync(fd, buffer, offset + total, length - total, position + total);
      if (count === 0) break;
      total += count;
    }
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'ESPIPE' && code !== 'EISDIR') throw error;
  }
  return total;
}

const TYPE_FLAGS: Readonly<Record<FileType, string>> = {
  file: '0',
  socket: '0',
  symlink: '2',
  char: '3',
  block: '4',
  dir: '5',
  fifo: '6',
};

/** The header BuildKit digests: names and values without separators, no time, no names of owners. */
function headerOf(node: FileNode, xattrs: readonly (readonly [name: string, value: Uint8Array])[]): Buffer {
  const mode = node.type === 'symlink' ? 0o777 : node.mode;
  const size = node.type === 'file' ? node.size : 0;
  const text =
    `namemode${mode}uid${node.uid}gid${node.gid}size${size}typeflag${TYPE_FLAGS[node.type]}linkname${node.linkTarget}` +
    `unamegnamedevmajor${node.rdev.major}devminor${node.rdev.minor}`;
  const kept = xattrs.filter(([name]) => isDigestedXattr(name));
  if (kept.length === 0) return Buffer.from(text);
  return Buffer.concat([Buffer.from(text), ...kept.flatMap(([name, value]) => [Buffer.from(name), value])]);
}

function isDigestedXattr(name: string): boolean {
  return name === 'security.capability' || !(name.startsWith('security.') || name.startsWith('system.'));
}
