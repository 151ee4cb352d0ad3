// A stack as a plain directory, for machines where it cannot be mounted: copied before a process runs in it, and compared
// with the stack afterwards, so that the changes are in the upper directory as overlayfs would have left them.
//
// What the process has not touched is found by its ctime, which nobody can set: nothing but the copy's own time is
// remembered, and the inode numbers of its directories (a renamed directory takes its files along without touching them).
// Changed files are moved, not copied. An opaque mark is needed only where the upper directory had something before.
//
// Hard links of the stack are links in the copy. A link is one file: what is written through one name is there under all
// of them, where overlayfs would have changed one.
import {
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  closeSync,
  readlinkSync,
  renameSync,
  rmSync,
  type BigIntStats,
} from 'node:fs';
import { join } from 'node:path';
import { elapsedMs } from '../sys/clock.ts';
import { getXattr, listXattrs, makeNode, setTimesNs, setXattr } from '../sys/libc.ts';
import { readNames, toFsPath } from '../sys/path-bytes.ts';
import type { Slices } from '../sys/turns.ts';
import { copyUpEntry } from './copy-up.ts';
import { fileTypeOf } from './file-node.ts';
import { hasEqualBytes } from './equal-bytes.ts';
import type { FileNode } from './file-tree.ts';
import { isOverlayXattr, type MergedDirectory, opaqueXattr, RootView } from './root-view.ts';
import { baseName, joinPath } from './tree-path.ts';

interface CopiedStack {
  readonly lowerDirs: readonly string[];
  /** Where changes go; absent when nobody wants them. */
  readonly upperDir?: string | undefined;
}

interface CopiedRootOptions {
  readonly stack: CopiedStack;
  /** An empty directory for the copy, on the file system of the upper directory; removed with it. */
  readonly place: string;
  readonly isRootless: boolean;
}

/** A directory of the copy on the way back into the upper directory. */
interface Level {
  readonly path: string;
  readonly copy: string;
  readonly upper: string;
  /** False once a directory on the way was renamed or made anew: no time says anything then. */
  readonly isOriginal: boolean;
  readonly above: Level | undefined;
  isMade: boolean;
}

/** How far the clocks of the machine and of files may come apart before times of files are not trusted. */
const CLOCK_SLACK_MS = 200;

/** One use: `fill`, a process, `writeBack` if its changes count, `remove`. */
export class CopiedRoot {
  /** The root of the copy. */
  readonly dir: string;
  readonly #place: string;
  readonly #view: RootView;
  readonly #upperDir: string | undefined;
  readonly #opaqueXattr: string;
  readonly #directories = new Map<string, bigint>();
  /** Paths of the copy that are one file because they were in the stack, by inode. */
  readonly #linked = new Map<bigint, Set<string>>();
  /** Where the first name of such a file went. Its others become files of their own, as overlayfs copies them up. */
  readonly #moved = new Map<bigint, string>();
  #copied = { ctimeNs: 0n, atMs: 0 };
  #trustsTimes = true;

  constructor({ stack: { lowerDirs, upperDir }, place, isRootless }: CopiedRootOptions) {
    this.#view = new RootView(upperDir === undefined ? lowerDirs : [upperDir, ...lowerDirs], { isRootless });
    this.#upperDir = upperDir;
    this.#opaqueXattr = opaqueXattr(isRootless);
    this.#place = place;
    this.dir = join(place, 'fs');
  }

  /** Copies the stack. */
  *fill(): Slices<void> {
    const root = this.#view.directory('/');
    const [top] = root?.layers ?? [];
    if (root === undefined || top === undefined) {
      mkdirSync(this.dir);
      chmodSync(this.dir, 0o755);
    } else {
      copyUpEntry(top, this.dir);
      yield* this.#copyDirectory(root, top, this.dir, new Map());
    }
    const first = this.#stamp();
    // From here on whatever is changed gets a later time, however coarse the clock of files is.
    while (this.#stamp() <= first) yield undefined;
    this.#copied = { ctimeNs: first, atMs: elapsedMs() };
  }

  /** Moves what has changed into the upper directory. */
  *writeBack(): Slices<void> {
    const upper = this.#upperDir;
    if (upper === undefined) return;
    const passedMs = Number(this.#stamp() - this.#copied.ctimeNs) / 1e6;
    this.#trustsTimes = Math.abs(passedMs - (elapsedMs() - this.#copied.atMs)) < CLOCK_SLACK_MS;
    const stats = lstatBig(this.dir);
    applyAttributes(this.dir, stats, upper);
    const level = { path: '/', copy: this.dir, upper, isOriginal: true, above: undefined, isMade: true };
    yield* this.#writeDirectory(level, stats);
  }

  /** Removes the copy. */
  remove(): void {
    rmSync(this.#place, { recursive: true, force: true });
  }

  /** The ctime of something made just now. */
  #stamp(): bigint {
    const path = join(this.#place, 'stamp');
    closeSync(openSync(path, 'w', 0o600));
    const { ctimeNs } = lstatBig(path);
    rmSync(path);
    return ctimeNs;
  }

  *#copyDirectory(
    directory: MergedDirectory,
    top: string,
    target: string,
    links: Map<string, { readonly copy: string; readonly path: string }>,
  ): Slices<void> {
    this.#directories.set(directory.path, lstatBig(target).ino);
    for (const node of this.#view.entries(directory)) {
      const name = baseName(node.path);
      const copy = `${target}/${name}`;
      if (node.type === 'socket') continue;
      const key = `${node.dev}:${node.ino}`;
      const first = node.nlink > 1 && node.type !== 'dir' ? links.get(key) : undefined;
      if (first !== undefined) {
        linkSync(toFsPath(first.copy), toFsPath(copy));
        const { ino } = lstatBig(copy);
        this.#linked.set(ino, (this.#linked.get(ino) ?? new Set([first.path])).add(node.path));
      } else copyUpEntry(node.hostPath, copy);
      if (node.nlink > 1 && node.type !== 'dir' && first === undefined) links.set(key, { copy, path: node.path });
      const child = node.type === 'dir' ? this.#view.child(directory, name) : undefined;
      if (child !== undefined) yield* this.#copyDirectory(child, node.hostPath, copy, links);
      yield undefined;
    }
    const { atimeNs, mtimeNs } = lstatBig(top);
    setTimesNs(target, atimeNs, mtimeNs);
  }

  *#writeDirectory(level: Level, stats: BigIntStats): Slices<void> {
    const lower = this.#view.directory(level.path);
    const below = new Map(
      (lower === undefined ? [] : this.#view.entries(lower)).map((node) => [baseName(node.path), node]),
    );
    const names = readNames(level.copy);
    const there = new Set(names);
    for (const [name, node] of below) {
      if (there.has(name) || node.type === 'socket') continue;
      this.#clear(level, name);
      makeNode(`${level.upper}/${name}`, 'char', 0, { major: 0, minor: 0 });
    }
    for (const name of names) {
      yield* this.#writeEntry(level, name, below.get(name));
      yield undefined;
    }
    if (level.isMade) setTimesNs(level.upper, stats.atimeNs, stats.mtimeNs);
  }

  *#writeEntry(level: Level, name: string, below: FileNode | undefined): Slices<void> {
    const copy = `${level.copy}/${name}`;
    const path = joinPath(level.path, name);
    const stats = lstatBig(copy);
    if (stats.isDirectory() && below?.type === 'dir') {
      const isOriginal = level.isOriginal && this.#directories.get(path) === stats.ino;
      const next: Level = { path, copy, upper: `${level.upper}/${name}`, isOriginal, above: level, isMade: false };
      if (!hasEqualAttributes(copy, stats, below.hostPath)) this.#make(next);
      yield* this.#writeDirectory(next, stats);
      return;
    }
    if (!stats.isDirectory() && below !== undefined && this.#isUnchanged(level, copy, stats, below)) return;
    const hadEntry = this.#clear(level, name);
    const target = `${level.upper}/${name}`;
    const isLinked = this.#linked.get(stats.ino)?.has(path) === true;
    const first = isLinked ? this.#moved.get(stats.ino) : undefined;
    if (first === undefined) renameSync(toFsPath(copy), toFsPath(target));
    else copyUpEntry(first, target);
    if (isLinked && first === undefined) this.#moved.set(stats.ino, target);
    if (hadEntry && stats.isDirectory()) setXattr(target, this.#opaqueXattr, Buffer.from('y'));
  }

  #isUnchanged(level: Level, copy: string, stats: BigIntStats, below: FileNode): boolean {
    if (this.#trustsTimes && level.isOriginal && stats.ctimeNs <= this.#copied.ctimeNs) return true;
    if (!hasEqualAttributes(copy, stats, below.hostPath)) return false;
    return !stats.isFile() || hasEqualBytes({ hostPath: copy, size: below.size }, below);
  }

  /** Makes room for a name in the upper directory; true when there was something. */
  #clear(level: Level, name: string): boolean {
    this.#make(level);
    const target = toFsPath(`${level.upper}/${name}`);
    if (lstatSync(target, { throwIfNoEntry: false }) === undefined) return false;
    rmSync(target, { recursive: true });
    return true;
  }

  /** Makes the directory in the upper one, with those it is in. */
  #make(level: Level): void {
    if (level.isMade) return;
    if (level.above !== undefined) this.#make(level.above);
    if (lstatSync(toFsPath(level.upper), { throwIfNoEntry: false }) === undefined) copyUpEntry(level.copy, level.upper);
    else applyAttributes(level.copy, lstatBig(level.copy), level.upper);
    level.isMade = true;
  }
}

function lstatBig(path: string): BigIntStats {
  return lstatSync(toFsPath(path), { bigint: true });
}

/** Mode, owner and extended attributes of one directory for another. */
function applyAttributes(from: string, stats: BigIntStats, to: string): void {
  lchownSync(toFsPath(to), Number(stats.uid), Number(stats.gid));
  chmodSync(toFsPath(to), Number(stats.mode) & 0o7777);
  for (const [name, value] of xattrsOf(from)) setXattr(to, name, value);
}

function hasEqualAttributes(copy: string, a: BigIntStats, hostPath: string): boolean {
  const b = lstatBig(hostPath);
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.mtimeNs !== b.mtimeNs) return false;
  const type = fileTypeOf(Number(a.mode));
  if ((type === 'char' || type === 'block') && a.rdev !== b.rdev) return false;
  if (type === 'file' && a.size !== b.size) return false;
  if (type === 'symlink' && !readBytes(copy).equals(readBytes(hostPath))) return false;
  const [one, two] = [xattrsOf(copy), xattrsOf(hostPath)];
  return one.size === two.size && [...one].every(([name, value]) => two.get(name)?.equals(value) === true);
}

function readBytes(link: string): Buffer {
  return readlinkSync(toFsPath(link), { encoding: 'buffer' });
}

function xattrsOf(path: string): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const name of listXattrs(path)) {
    const value = isOverlayXattr(name) ? undefined : getXattr(path, name);
    if (value !== undefined) found.set(name, value);
  }
  return found;
}
