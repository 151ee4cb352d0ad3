// A root filesystem written out into a directory of the user's. What is there stays unless the image has it, too; links
// there are never followed below `dest`.
//
// The directory may be another user's, who could put a link in the place of what is being written. So each directory is held
// open, and names are looked up in it alone; and what was made is given its owner and mode through a descriptor.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { makeDirectories } from '../sys/make-directories.ts';
import { checkDirectoryDest, isPresent, writeError } from './destination.ts';
import {
  DIRECTORY_FLAGS,
  enterDirectory,
  giveAttributes,
  type Identity,
  linkEntry,
  makeEntry,
  pathOf,
} from './local-entry.ts';
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
  if (isPresent(dest)) {
    try {
      return inDirectory(dest, DIRECTORY_FLAGS, (fd) => fill(fd, tree, options));
    } catch (error) {
      throw writeError(dest, error);
    }
  }
  const temporary = `${dest}.${process.pid}-${process.hrtime.bigint().toString(36)}.partial`;
  const made: string[] = [];
  try {
    makeDirectories(dirname(dest), 0o777, made);
    mkdirSync(temporary);
    return inDirectory(temporary, DIRECTORY_FLAGS | constants.O_NOFOLLOW, (fd) => {
      const { uid, ino } = fstatSync(fd);
      if (uid !== process.geteuid?.()) throw movedError(dest);
      const warnings = fill(fd, tree, options);
      renameSync(temporary, dest);
      if (lstatSync(dest).ino !== ino) throw movedError(dest);
      return warnings;
    });
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

function inDirectory<T>(path: string, flags: number, use: (fd: number) => T): T {
  const fd = openSync(path, flags);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

interface OpenDirectory {
  readonly fd: number;
  readonly node: FileNode;
}

function fill(root: number, tree: FileTree, options: LocalDirectoryOptions): readonly string[] {
  const warnings: string[] = [];
  const firstNames = new Map<string, string>();
  /** What was made under a first name. */
  const made = new Map<string, Identity | undefined>();
  const open: OpenDirectory[] = [];
  // A directory's time is set when nothing more is written into it, its mode too: it may forbid writing.
  const leaveUntil = (isInside: (directory: FileNode) => boolean): void => {
    for (let last = open.at(-1); last !== undefined && !isInside(last.node); last = open.at(-1)) {
      giveAttributes(last.fd, tree, last.node, options);
      open.pop();
      closeSync(last.fd);
    }
  };
  try {
    for (const node of walk(tree)) {
      options.signal?.throwIfAborted();
      leaveUntil((directory) => node.path.startsWith(`${directory.path}/`));
      const path = `${pathOf(open.at(-1)?.fd ?? root)}/${node.path.slice(node.path.lastIndexOf('/') + 1)}`;
      if (node.type === 'socket') continue;
      if (node.type === 'dir') {
        open.push({ fd: enterDirectory(path), node });
        continue;
      }
      const source = linkSource(node, node.path, firstNames);
      const identity = source === undefined ? makeEntry(path, tree, node, options) : made.get(source);
      if (identity === undefined) warnings.push(`left out the device "${node.path}": operation not permitted`);
      else if (source !== undefined) linkEntry(`${pathOf(root)}${source}`, path, identity);
      else if (node.nlink > 1) made.set(node.path, identity);
    }
    leaveUntil(() => false);
  } finally {
    for (const { fd } of open) closeSync(fd);
  }
  return warnings;
}

function movedError(dest: string): TsbuildError {
  return new TsbuildError('TSB_OUTPUT_WRITE_FAILED', `cannot write "${dest}": somebody else has moved it meanwhile`);
}
