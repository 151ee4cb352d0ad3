// A root filesystem written out into a directory of the user's. What is there stays unless the image has it, too; links
// there are never followed below `dest`.
import {
  chmodSync,
  constants,
  copyFileSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setMtime } from '../snapshot/copy-up.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { codeOf } from '../sys/error-code.ts';
import { makeNode, setXattr } from '../sys/libc.ts';
import { encodeName, toFsPath } from '../sys/path-bytes.ts';
import { makeDirectories } from '../sys/make-directories.ts';
import { checkDirectoryDest, isPresent, writeError } from './destination.ts';
import { linkSource, walk } from './root-tar.ts';

interface LocalDirectoryOptions {
  /** False for an ordinary user's build: everything belongs to that user, who could not remove it else. */
  readonly keepsOwners: boolean;
  /** SOURCE_DATE_EPOCH in ms: later times become this one. */
  readonly latestMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Writes the tree into `dest`. A directory that did not exist appears when it is whole. Returns what could not be written
 * (device nodes without permission), one sentence each. Throws TSB_OUTPUT_DEST_INVALID, TSB_OUTPUT_WRITE_FAILED.
 */
export function writeLocalDirectory(dest: string, tree: FileTree, options: LocalDirectoryOptions): readonly string[] {
  checkLocalDest(dest);
  if (isPresent(dest)) return fill(dest, dest, tree, options);
  const temporary = `${dest}.${process.pid}-${process.hrtime.bigint().toString(36)}.partial`;
  const made: string[] = [];
  try {
    makeDirectories(dirname(dest), 0o777, made);
    mkdirSync(temporary);
    const warnings = fill(temporary, dest, tree, options);
    renameSync(temporary, dest);
    return warnings;
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    for (const directory of made.reverse()) rmdirSync(directory);
    throw writeError(dest, error);
  }
}

/** Throws TSB_OUTPUT_DEST_INVALID or TSB_OUTPUT_WRITE_FAILED before the first byte is made, when `dest` cannot be a directory to write into. */
export function checkLocalDest(dest: string): void {
  checkDirectoryDest(dest, 'give a directory, or type=tar for a file');
}

function fill(root: string, dest: string, tree: FileTree, options: LocalDirectoryOptions): readonly string[] {
  const warnings: string[] = [];
  const firstNames = new Map<string, string>();
  // A directory's time is set when nothing more is written into it, its mode too: it may forbid writing.
  const directories: FileNode[] = [];
  try {
    for (const node of walk(tree)) {
      options.signal?.throwIfAborted();
      const path = `${root}${node.path}`;
      if (node.type === 'dir') {
        makeDirectory(path);
        directories.push(node);
      } else if (node.type !== 'socket') {
        const source = linkSource(node, path, firstNames);
        if (source === undefined) writeEntry(path, tree, node, options, warnings);
        else replaceWith(path, () => linkSync(toFsPath(source), toFsPath(path)));
      }
    }
    for (const node of directories.reverse()) setAttributes(`${root}${node.path}`, tree, node, options);
  } catch (error) {
    throw writeError(dest, error);
  }
  return warnings;
}

function makeDirectory(path: string): void {
  const existing = lstatSync(toFsPath(path), { throwIfNoEntry: false });
  if (existing?.isDirectory() === true) return;
  replaceWith(path, () => mkdirSync(toFsPath(path), 0o700));
}

function writeEntry(
  path: string,
  tree: FileTree,
  node: FileNode,
  options: LocalDirectoryOptions,
  warnings: string[],
): void {
  try {
    replaceWith(path, () => create(path, node));
  } catch (error) {
    const isDevice = node.type === 'char' || node.type === 'block';
    if (!isDevice || codeOf(error) !== 'EPERM') throw error;
    warnings.push(`left out the device "${node.path}": operation not permitted`);
    return;
  }
  setAttributes(path, tree, node, options);
}

/** Whatever is at the path goes first, a directory with all it holds. */
function replaceWith(path: string, make: () => void): void {
  rmSync(toFsPath(path), { recursive: true, force: true });
  make();
}

function create(path: string, node: FileNode): void {
  const to = toFsPath(path);
  switch (node.type) {
    case 'file':
      copyFileSync(toFsPath(node.hostPath), to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
      return;
    case 'symlink':
      symlinkSync(encodeName(node.linkTarget), to);
      return;
    case 'char':
    case 'block':
    case 'fifo':
      makeNode(path, node.type, 0o600, node.rdev);
      return;
    case 'dir':
    case 'socket':
      throw new Error(`internal error: no ${node.type} is created here`);
  }
}

/** Owner first: a change of owner clears setuid bits and capabilities. */
function setAttributes(path: string, tree: FileTree, node: FileNode, options: LocalDirectoryOptions): void {
  const { keepsOwners, latestMs = Number.POSITIVE_INFINITY } = options;
  // Node's copyFile hands owners on where it may, so the user's own files must be made theirs.
  const owner = keepsOwners ? node : { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1 };
  lchownSync(toFsPath(path), owner.uid, owner.gid);
  if (node.type !== 'symlink') {
    for (const [name, value] of tree.xattrs(node)) tolerate(() => setXattr(path, name, value));
    chmodSync(toFsPath(path), node.mode);
  }
  setMtime(path, Math.min(node.mtimeMs, latestMs));
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
