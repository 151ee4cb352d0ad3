// One entry of a directory that another user may write to at the same time. Paths are `/proc/self/fd/N/name`.
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { fileTypeOf } from '../snapshot/file-node.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { setMtime, setMtimeOfOpen } from '../snapshot/copy-up.ts';
import { codeOf } from '../sys/error-code.ts';
import { makeNode, setXattrOfOpen } from '../sys/libc.ts';
import { encodeName, toFsPath } from '../sys/path-bytes.ts';

interface EntryAttributes {
  readonly keepsOwners: boolean;
  readonly latestMs?: number;
}

/** Of a file, whatever its name. */
export interface Identity {
  readonly dev: number;
  readonly ino: number;
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
const O_PATH = 0o10000000;
/** To hold a directory open, also one that may not be read. */
export const DIRECTORY_FLAGS: number = O_PATH | constants.O_DIRECTORY;

/** A path that leads to what is open. */
export function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** The directory at the path, made unless one is there; whatever else is there goes. The caller closes it. */
export function enterDirectory(path: string): number {
  inPlaceOf(path, () => {
    if (lstatSync(toFsPath(path), { throwIfNoEntry: false })?.isDirectory() !== true) mkdirSync(toFsPath(path), 0o700);
  });
  return openSync(toFsPath(path), DIRECTORY_FLAGS | O_NOFOLLOW);
}

/** Puts the entry, no directory, in the place of whatever is there; undefined for a device that may not be made. */
export function makeEntry(
  path: string,
  tree: FileTree,
  node: FileNode,
  attributes: EntryAttributes,
): Identity | undefined {
  try {
    return inPlaceOf(path, () => create(path, tree, node, attributes));
  } catch (error) {
    const isDevice = node.type === 'char' || node.type === 'block';
    if (isDevice && codeOf(error) === 'EPERM') return undefined;
    throw error;
  }
}

/** Another name of what was written before. */
export function linkEntry(source: string, path: string, { dev, ino }: Identity): void {
  inPlaceOf(path, () => linkSync(toFsPath(source), toFsPath(path)));
  const found = lstatSync(toFsPath(path));
  if (found.ino === ino && found.dev === dev) return;
  rmSync(toFsPath(path), { force: true });
  throw swapped(path);
}

/** Whatever is at the path goes first, a directory with all it holds. */
function inPlaceOf<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    rmSync(toFsPath(path), { recursive: true, force: true });
    return make();
  }
}

/** Of what is open, no link. Owner first: a change of owner clears setuid bits and capabilities. */
export function giveAttributes(fd: number, tree: FileTree, node: FileNode, attributes: EntryAttributes): void {
  const path = pathOf(fd);
  const { uid, gid } = ownerOf(node, attributes);
  chownSync(path, uid, gid);
  for (const [name, value] of tree.xattrs(node)) tolerate(() => setXattrOfOpen(fd, name, value));
  chmodSync(path, node.mode);
  setMtimeOfOpen(fd, mtimeOf(node, attributes));
}

function mtimeOf({ mtimeMs }: FileNode, { latestMs = Number.POSITIVE_INFINITY }: EntryAttributes): number {
  return Math.min(mtimeMs, latestMs);
}

/** Node's copyFile hands owners on where it may, so the user's own files must be made theirs. */
function ownerOf(node: FileNode, { keepsOwners }: EntryAttributes): { readonly uid: number; readonly gid: number } {
  return keepsOwners ? node : { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1 };
}

function create(path: string, tree: FileTree, node: FileNode, attributes: EntryAttributes): Identity {
  switch (node.type) {
    case 'file':
      return createFile(path, tree, node, attributes);
    case 'symlink': {
      const { uid, gid } = ownerOf(node, attributes);
      symlinkSync(encodeName(node.linkTarget), toFsPath(path));
      lchownSync(toFsPath(path), uid, gid);
      setMtime(path, mtimeOf(node, attributes));
      return lstatSync(toFsPath(path));
    }
    case 'char':
    case 'block':
    case 'fifo':
      makeNode(path, node.type, 0o600, node.rdev);
      return openMade(path, node, (fd) => giveAttributes(fd, tree, node, attributes));
    case 'dir':
    case 'socket':
      throw new Error(`internal error: no ${node.type} is created here`);
  }
}

function createFile(path: string, tree: FileTree, node: FileNode, attributes: EntryAttributes): Identity {
  const fd = openSync(toFsPath(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    copyFileSync(toFsPath(node.hostPath), pathOf(fd), constants.COPYFILE_FICLONE);
    giveAttributes(fd, tree, node, attributes);
    return fstatSync(fd);
  } finally {
    closeSync(fd);
  }
}

function openMade(path: string, node: FileNode, use: (fd: number) => void): Identity {
  const fd = openSync(toFsPath(path), O_PATH | O_NOFOLLOW);
  try {
    const stats = fstatSync(fd);
    const isOurs = stats.uid === process.geteuid?.() && stats.nlink === 1;
    if (!isOurs || fileTypeOf(stats.mode) !== node.type) throw swapped(path);
    use(fd);
    return stats;
  } finally {
    closeSync(fd);
  }
}

function swapped(path: string): Error {
  return Object.assign(new Error(`somebody else has changed ${path}`), { code: 'ELOOP' });
}

/** Attributes that this file system or user may not have are no part of the promise. */
function tolerate(call: () => void): void {
  try {
    call();
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'EPERM' && code !== 'EACCES' && code !== 'EOPNOTSUPP' && code !== 'ENOTSUP') throw error;
  }
}
