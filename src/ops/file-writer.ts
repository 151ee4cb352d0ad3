// Making one entry of an upper directory like a source's: bytes, owner, mode, extended attributes, times to the ns.
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  symlinkSync,
} from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { codeOf } from '../sys/error-code.ts';
import { makeNode, SystemCallError, setTimesNs, setXattr } from '../sys/libc.ts';
import { encodeName, toFsPath } from '../sys/path-bytes.ts';
import { setFileOwner, setOwner } from '../sys/recorded-owner.ts';
import type { Slices } from '../sys/turns.ts';
import { writeAllAt } from '../sys/write-all.ts';
import { changedWhileRead, openSource, readFully } from './source-file.ts';

/** What the entry gets that is not its source's own. */
export interface EntryAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** The source as it was when its bytes had been read. */
interface SourceStats {
  readonly mtimeNs: bigint;
  /** True when it is still the unchanged file that the node describes. */
  readonly isUnchanged: boolean;
}

const BUFFER_SIZE = 1 << 20;
/** Copied in pieces, so that the copy can be interrupted. */
const LARGE_SIZE = 1 << 26;
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Writes entries one after the other with one reused buffer. */
export class FileWriter {
  readonly #buffer = Buffer.allocUnsafe(BUFFER_SIZE);

  /**
   * Creates the regular file. Exactly `node.size` bytes are copied; throws TSB_CONTEXT_CHANGED when there are fewer.
   * Pauses within a large one.
   */
  *writeFile(tree: FileTree, node: FileNode, hostPath: string, attributes: EntryAttributes): Slices<SourceStats> {
    // A size of 0 may also be a socket, which cannot be opened.
    const source = node.size === 0 ? undefined : openSource(node);
    try {
      const target = openSync(toFsPath(hostPath), NEW_FILE, 0o600);
      try {
        if (source !== undefined) yield* this.#copyBytes(source, target, node);
        give(node, attributes, () => setFileOwner(target, hostPath, attributes));
        fchmodSync(target, attributes.mode);
      } finally {
        closeSync(target);
      }
      copyXattrs(tree, node, hostPath);
      const stats = statsOf(node, source);
      setTimesNs(hostPath, stats.mtimeNs, stats.mtimeNs);
      return stats;
    } finally {
      if (source !== undefined) closeSync(source);
    }
  }

  *#copyBytes(source: number, target: number, node: FileNode): Slices<void> {
    if (node.size > BUFFER_SIZE && cloneWhole(source, target, node)) return;
    for (let position = 0; position < node.size; ) {
      const wanted = Math.min(BUFFER_SIZE, node.size - position);
      if (readFully(source, this.#buffer, 0, wanted, position) < wanted) throw changedWhileRead(node);
      writeAllAt(target, this.#buffer.subarray(0, wanted), position);
      position += wanted;
      if (position < node.size) yield;
    }
  }
}

/**
 * The kernel's own copy: a reflink of any size where the file system has them, else of a file small enough to be copied
 * in one go. False when nothing was copied or the file has another size by now.
 */
function cloneWhole(source: number, target: number, node: FileNode): boolean {
  const isLarge = node.size > LARGE_SIZE;
  try {
    const how = isLarge ? constants.COPYFILE_FICLONE_FORCE : constants.COPYFILE_FICLONE;
    copyFileSync(`/proc/self/fd/${source}`, `/proc/self/fd/${target}`, how);
  } catch (error) {
    if (isLarge) return false;
    throw error;
  }
  return fstatSync(target).size === node.size;
}

function statsOf(node: FileNode, fd: number | undefined): SourceStats {
  const stats =
    fd === undefined ? lstatSync(toFsPath(node.hostPath), { bigint: true }) : fstatSync(fd, { bigint: true });
  const isUnchanged =
    isSameTime(stats.ctimeNs, node.ctimeMs) &&
    isSameTime(stats.mtimeNs, node.mtimeMs) &&
    Number(stats.ino) === node.ino &&
    Number(stats.dev) === node.dev &&
    (fd === undefined || Number(stats.size) === node.size);
  return { mtimeNs: stats.mtimeNs, isUnchanged };
}

/** A number of ms keeps less than a ns does: equal within 1 us is equal. */
function isSameTime(ns: bigint, ms: number): boolean {
  return Math.abs(Number(ns) / 1e6 - ms) < 1e-3;
}

/** Creates a link, device or fifo. */
export function writeSpecial(tree: FileTree, node: FileNode, hostPath: string, attributes: EntryAttributes): void {
  switch (node.type) {
    case 'symlink':
      symlinkSync(encodeName(node.linkTarget), toFsPath(hostPath));
      break;
    case 'char':
    case 'block':
    case 'fifo':
      makeNode(hostPath, node.type, 0o600, node.rdev);
      break;
    default:
      closeSync(openSync(toFsPath(hostPath), NEW_FILE, 0o600));
  }
  setAttributes(tree, node, hostPath, attributes);
  const { mtimeNs } = lstatSync(toFsPath(node.hostPath), { bigint: true });
  setTimesNs(hostPath, mtimeNs, mtimeNs);
}

const SPECIAL: ReadonlySet<string> = new Set(['symlink', 'char', 'block', 'fifo']);

/** Owner, mode (not of a link) and extended attributes of an entry that exists. */
export function setAttributes(tree: FileTree, node: FileNode, hostPath: string, attributes: EntryAttributes): void {
  give(node, attributes, () => setOwner(hostPath, attributes, !SPECIAL.has(node.type)));
  if (node.type !== 'symlink') chmodEntry(hostPath, attributes.mode);
  copyXattrs(tree, node, hostPath);
}

/** In a user namespace only mapped ids can be given; the kernel calls the others invalid. */
function give(node: FileNode, { uid, gid }: EntryAttributes, chown: () => void): void {
  try {
    chown();
  } catch (cause) {
    if (codeOf(cause) !== 'EINVAL') throw cause;
    throw new TsbuildError(
      'TSB_COPY_OWNER_UNMAPPED',
      `cannot give "${node.path}" to ${uid}:${gid}: the ids are not mapped`,
      {
        cause,
        hint: 'give your user a range of ids in /etc/subuid and /etc/subgid',
      },
    );
  }
}

function chmodEntry(hostPath: string, mode: number): void {
  // The caller has just made the entry, or has seen that it is a directory: no link is followed.
  chmodSync(toFsPath(hostPath), mode);
}

/** What the file system or a lack of privilege refuses is left out, as BuildKit leaves it out. */
function copyXattrs(tree: FileTree, node: FileNode, hostPath: string): void {
  for (const [name, value] of tree.xattrs(node)) {
    try {
      setXattr(hostPath, name, value);
    } catch (cause) {
      if (!(cause instanceof SystemCallError)) throw cause;
    }
  }
}
