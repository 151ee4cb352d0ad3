// Writing into the upper directory of an active snapshot as a process inside an overlayfs mount of its stack would:
// directories that exist only below are copied up first, deleted entries become whiteouts, links are followed inside the
// stack and never out of it.
//
// Worked example. `COPY a /srv/www/` on a base where /srv is a link to /data: `ensureDir('/srv/www', …)` copies /data up
// (mode, owner, xattrs and times kept) and makes /data/www; `place('/srv/www/a')` returns <upper>/data/www/a, where
// nothing is any more, for the caller to create; `finish()` sets the directory times that writing has disturbed.
import { lstatSync, rmSync, unlinkSync } from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import { makeNode, setTimesNs, setXattr } from '../sys/libc.ts';
import { readNames, toFsPath } from '../sys/path-bytes.ts';
import { copyUpEntry, type DirectoryAttributes, makeDirectory, setMtime } from './copy-up.ts';
import { isWhiteout, lstatPath } from './file-node.ts';
import { type MergedDirectory, opaqueXattr, RootView } from './root-view.ts';
import { baseName, joinPath, parentPath } from './tree-path.ts';

interface UpperWriterOptions {
  /** Where writes go: an active snapshot's upper directory. */
  readonly upperDir: string;
  /** The stack below, newest first. */
  readonly lowerDirs: readonly string[];
  /** Whether the stack is mounted with overlayfs's `userxattr`. */
  readonly isRootless: boolean;
}

interface EnsureDirOptions {
  /** Replaces what is no directory, on the way too, instead of throwing. */
  readonly replaceFile?: boolean;
  /** False leaves a link in the last component alone (it is then no directory). Default true. */
  readonly followLast?: boolean;
}

/** A directory of the stack that also exists in the upper directory. */
interface WritableDirectory {
  readonly path: string;
  readonly hostPath: string;
  /** Directories below that merge into it. */
  readonly lowers: readonly string[];
}

const DEFAULT_DIRECTORY: DirectoryAttributes = { mode: 0o755, uid: 0, gid: 0 };

/** See the essay above. One writer at a time per upper directory; the caller calls `finish` once at the end. */
export class UpperWriter {
  /** The stack with the upper directory on top, kept up to date by this writer. */
  readonly view: RootView;
  readonly #upperDir: string;
  readonly #opaqueXattr: string;
  readonly #writable = new Map<string, WritableDirectory>();
  readonly #times = new Map<string, number>();

  constructor(options: UpperWriterOptions) {
    this.#upperDir = options.upperDir;
    this.#opaqueXattr = opaqueXattr(options.isRootless);
    this.view = new RootView([options.upperDir, ...options.lowerDirs], { isRootless: options.isRootless });
  }

  /**
   * Makes sure there is a directory at the path and returns its canonical path. Missing ones are made, each with the
   * attributes; existing ones are left alone (and not copied up). Throws TSB_SNAPSHOT_NOT_A_DIRECTORY.
   */
  ensureDir(path: string, attributes: DirectoryAttributes, options: EnsureDirOptions = {}): string {
    const known = this.#writable.get(path)?.path ?? this.view.directory(path)?.path;
    if (known !== undefined && options.followLast !== false) return known;
    const target = this.view.resolveParent(path, { followLast: options.followLast !== false });
    this.#makeMissing(target, attributes, options.replaceFile === true);
    return target;
  }

  /**
   * Makes room for a new entry that is no directory and returns the host path to create it at. Its directory is made or
   * copied up as needed, links on the way are followed, the last component is not. What is there is removed; a directory
   * only when `replaceDir`, else throws TSB_SNAPSHOT_IS_A_DIRECTORY.
   */
  place(path: string, options: { readonly replaceDir?: boolean } = {}): string {
    const { parent, name } = this.#parentOf(path);
    const hostPath = `${parent.hostPath}/${name}`;
    const own = lstatPath(hostPath);
    const existing = own ?? findIn(parent.lowers, name);
    if (existing === undefined) return hostPath;
    if (existing.isDirectory() && options.replaceDir !== true) {
      throw new TsbuildError('TSB_SNAPSHOT_IS_A_DIRECTORY', `cannot replace directory "${path}" with a file`);
    }
    if (own !== undefined) remove(hostPath, own.isDirectory());
    if (existing.isDirectory() || existing.isSymbolicLink()) this.#forget(joinPath(parent.path, name));
    return hostPath;
  }

  /** Deletes the entry (no link in the last component is followed); nothing happens where none is. */
  whiteout(path: string): void {
    const canonical = this.view.resolveParent(path);
    const node = this.view.lookup(canonical);
    if (node === undefined || canonical === '/') return;
    const { parent, name } = this.#parentOf(canonical);
    const hostPath = this.place(canonical, { replaceDir: true });
    if (findIn(parent.lowers, name) !== undefined) makeNode(hostPath, 'char', 0, { major: 0, minor: 0 });
  }

  /** Hides what directories below have in this one; entries of the upper directory stay. Throws TSB_SNAPSHOT_NOT_A_DIRECTORY. */
  makeOpaque(path: string): void {
    const directory = this.#writableDirectory(path);
    if (directory.lowers.length === 0) return;
    if (directory.path === '/') {
      // Overlayfs does not look for the mark on the root of a layer.
      const own = new Set(readNames(directory.hostPath));
      for (const lower of directory.lowers) {
        for (const name of readNames(lower)) if (!own.has(name)) this.whiteout(`/${name}`);
      }
      return;
    }
    setXattr(directory.hostPath, this.#opaqueXattr, Buffer.from('y'));
    this.#writable.clear();
    this.view.forget(directory.path);
  }

  /** Copies an existing entry up if needed (no link in the last component is followed) and returns its host path in the upper directory. */
  copyUp(path: string): string {
    const node = this.view.lookup(path);
    if (node === undefined) throw new Error(`internal error: nothing to copy up at "${path}"`);
    if (node.type === 'dir') return this.#writableDirectory(node.path).hostPath;
    const { parent, name } = this.#parentOf(node.path);
    const hostPath = `${parent.hostPath}/${name}`;
    if (node.hostPath !== hostPath) keepingTimes(parent.hostPath, () => copyUpEntry(node.hostPath, hostPath));
    return hostPath;
  }

  /** Where a canonical path lies in the upper directory, whether it exists or not. */
  upperPath(path: string): string {
    return path === '/' ? this.#upperDir : this.#upperDir + path;
  }

  /** Sets a directory's mtime (ms since the epoch) when the writer finishes; the directory is copied up. */
  setDirTime(path: string, mtimeMs: number): void {
    this.#times.set(this.#writableDirectory(path).hostPath, mtimeMs);
  }

  /** Sets the directory times asked for. */
  finish(): void {
    for (const [hostPath, mtimeMs] of this.#times) {
      if (lstatPath(hostPath)?.isDirectory()) setMtime(hostPath, mtimeMs);
    }
    this.#times.clear();
  }

  #parentOf(path: string): { parent: WritableDirectory; name: string } {
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    if (name === '' || name === '.' || name === '..') {
      const canonical = this.view.resolveParent(path);
      if (canonical === '/') throw new Error('internal error: the root directory cannot be replaced');
      return this.#parentOf(canonical);
    }
    return { parent: this.#writableDirectory(path.slice(0, Math.max(slash, 0))), name };
  }

  /** The directory at the path, links followed; made and copied up as needed. */
  #writableDirectory(path: string): WritableDirectory {
    const known = this.#writable.get(path);
    if (known !== undefined) return known;
    const canonical = this.ensureDir(path, DEFAULT_DIRECTORY);
    const directory = this.#materialize(canonical);
    this.#writable.set(path, directory);
    return directory;
  }

  #materialize(path: string): WritableDirectory {
    const hostPath = this.upperPath(path);
    const [newest, ...lowers] = this.#directoryAt(path).layers;
    if (newest === hostPath) return { path, hostPath, lowers };
    const parent = this.#materialize(parentPath(path));
    if (newest !== undefined) keepingTimes(parent.hostPath, () => copyUpEntry(newest, hostPath));
    this.view.forget(path);
    return { path, hostPath, lowers: this.#directoryAt(path).layers.slice(1) };
  }

  #directoryAt(path: string): MergedDirectory {
    const directory = this.view.directory(path);
    if (directory === undefined) throw new Error(`internal error: no directory at "${path}"`);
    return directory;
  }

  /** Makes the directories of a canonical path that are not there. */
  #makeMissing(path: string, attributes: DirectoryAttributes, replaceFile: boolean): void {
    if (path === '/' || this.view.lookup(path)?.type === 'dir') return;
    const above = parentPath(path);
    this.#makeMissing(above, attributes, replaceFile);
    const parent = this.#materialize(above);
    const name = baseName(path);
    const hostPath = `${parent.hostPath}/${name}`;
    const own = lstatPath(hostPath);
    const existing = own ?? findIn(parent.lowers, name);
    if (existing !== undefined && !isWhiteout(existing) && !replaceFile) throw notADirectory(path);
    if (own !== undefined) remove(hostPath, false);
    makeDirectory(hostPath, attributes);
    if (own !== undefined && findIn(parent.lowers, name)?.isDirectory()) {
      setXattr(hostPath, this.#opaqueXattr, Buffer.from('y'));
    }
    if (existing?.isSymbolicLink()) this.#forget(path);
    if (attributes.mtimeMs !== undefined) this.#times.set(hostPath, attributes.mtimeMs);
  }

  #forget(path: string): void {
    this.#writable.clear();
    this.view.forget(path);
    const gone = this.#upperDir + path;
    for (const hostPath of this.#times.keys()) {
      if (hostPath === gone || hostPath.startsWith(`${gone}/`)) this.#times.delete(hostPath);
    }
  }
}

function notADirectory(path: string): TsbuildError {
  return new TsbuildError('TSB_SNAPSHOT_NOT_A_DIRECTORY', `"${path}" exists and is not a directory`);
}

/** What the directories below have under that name; undefined also for a whiteout. */
function findIn(lowers: readonly string[], name: string): ReturnType<typeof lstatPath> {
  for (const lower of lowers) {
    const stats = lstatPath(`${lower}/${name}`);
    if (stats !== undefined) return isWhiteout(stats) ? undefined : stats;
  }
  return undefined;
}

function remove(hostPath: string, isDirectory: boolean): void {
  if (isDirectory) rmSync(toFsPath(hostPath), { recursive: true });
  else unlinkSync(toFsPath(hostPath));
}

/** Runs `write` in a directory whose times stay as they were, as overlayfs keeps them on a copy-up. */
function keepingTimes(directory: string, write: () => void): void {
  const { atimeNs, mtimeNs } = lstatSync(toFsPath(directory), { bigint: true });
  write();
  setTimesNs(directory, atimeNs, mtimeNs);
}
