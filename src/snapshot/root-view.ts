// A stack of snapshot directories read as the root filesystem they make, without mounting it.
//
// It answers as an overlayfs mount of the same directories would: whiteouts hide, opaque directories hide what is below
// them, directories merge, and of everything else the newest wins. Symbolic links are resolved inside the stack only,
// whatever an image's links say. The overlay xattrs `redirect` and `metacopy` never occur: snapshots are always mounted
// with redirect_dir=off and metacopy=off. As in the kernel, an opaque mark on a stack's root directory means nothing.
import type { Stats } from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import { getXattr, listXattrs } from '../sys/libc.ts';
import { isOwnerRecord } from '../sys/recorded-owner.ts';
import { readNames, sortNames } from '../sys/path-bytes.ts';
import { isWhiteout, lstatPath, readLink, toFileNode } from './file-node.ts';
import type { FileNode, FileTree } from './file-tree.ts';
import { joinPath } from './tree-path.ts';

/** Limit of links followed in one resolution. */
const MAX_LINKS = 255;
const TRUSTED_OPAQUE = 'trusted.overlay.opaque';
const USER_OPAQUE = 'user.overlay.opaque';
const OVERLAY_XATTR = /^(trusted|user)\.overlay\./;

interface RootViewOptions {
  /** Which opaque mark counts: `user.overlay.opaque` when true, `trusted.overlay.opaque` when false, both when absent. */
  readonly isRootless?: boolean;
}

/** A directory of the view, merged from one or more host directories. Valid until it is forgotten. */
export interface MergedDirectory {
  /** Absolute path within the view without links. */
  readonly path: string;
  /** Host directories that make it up, newest first. */
  readonly layers: readonly string[];
  readonly children: Map<string, MergedDirectory>;
}

/** Where a path leads: the deepest existing directory, and the names below it that are not existing directories. */
interface Resolution {
  readonly directory: MergedDirectory;
  readonly rest: readonly string[];
  /** True when a `..` undid a missing name: the path is only well written, and leads nowhere. */
  readonly isBroken: boolean;
}

/** The attribute that marks an opaque directory, depending on whether the stack is mounted with `userxattr`. */
export function opaqueXattr(isRootless: boolean): string {
  return isRootless ? USER_OPAQUE : TRUSTED_OPAQUE;
}

/** True when the directory at the host path has one of these marks; any when none are named. */
export function hasOpaqueMark(hostPath: string, xattrs: readonly string[] = [TRUSTED_OPAQUE, USER_OPAQUE]): boolean {
  return xattrs.some((name) => getXattr(hostPath, name)?.toString() === 'y');
}

/** True for an extended attribute that belongs to overlayfs and never to a file of an image. */
export function isOverlayXattr(name: string): boolean {
  return OVERLAY_XATTR.test(name);
}

/**
 * A FileTree over `dirsNewestFirst`. Directories once seen are remembered: whoever writes into the newest directory calls
 * `forget` for a directory it replaced or copied up, `invalidate` when it cannot tell. New entries need neither.
 */
export class RootView implements FileTree {
  readonly #opaqueXattrs: readonly string[] | undefined;
  readonly #dirs: readonly string[];
  readonly #byText = new Map<string, MergedDirectory>();
  #root: MergedDirectory;

  constructor(dirsNewestFirst: readonly string[], options: RootViewOptions = {}) {
    this.#dirs = dirsNewestFirst;
    this.#root = { path: '/', layers: dirsNewestFirst, children: new Map() };
    this.#opaqueXattrs = options.isRootless === undefined ? undefined : [opaqueXattr(options.isRootless)];
  }

  lookup(path: string, options: { readonly followLast?: boolean } = {}): FileNode | undefined {
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    if (isPlainName(name)) {
      const parent = this.directory(path.slice(0, Math.max(slash, 0)));
      const node = parent === undefined ? undefined : this.entry(parent, name);
      if (node?.type !== 'symlink' || options.followLast !== true) return node;
    }
    const { directory, rest, isBroken } = this.#resolve(path, options.followLast === true);
    if (isBroken) return undefined;
    if (rest.length === 0) return directoryNode(directory);
    return rest.length === 1 ? this.entry(directory, rest[0] ?? '') : undefined;
  }

  list(path: string): readonly FileNode[] {
    const directory = this.directory(path);
    if (directory === undefined) {
      throw new TsbuildError('TSB_PATH_NOT_A_DIRECTORY', `"${path}" is not a directory`);
    }
    return this.entries(directory);
  }

  xattrs(node: FileNode): readonly (readonly [name: string, value: Uint8Array])[] {
    const found: [string, Uint8Array][] = [];
    for (const name of listXattrs(node.hostPath)) {
      if (isOverlayXattr(name) || isOwnerRecord(name, node.type === 'file' || node.type === 'dir')) continue;
      const value = getXattr(node.hostPath, name);
      if (value !== undefined) found.push([name, value]);
    }
    return found;
  }

  /**
   * The canonical path of what may not exist yet: links of the existing part are followed (those of the last component
   * only when asked), the missing part is appended as written. Throws TSB_PATH_LINK_LOOP.
   */
  resolveParent(path: string, options: { readonly followLast?: boolean } = {}): string {
    const { directory, rest } = this.#resolve(path, options.followLast === true);
    return rest.reduce(joinPath, directory.path);
  }

  /** The directory at the path, every link followed, or undefined when there is none. Throws TSB_PATH_LINK_LOOP. */
  directory(path: string): MergedDirectory | undefined {
    const known = this.#byText.get(path);
    if (known !== undefined) return known;
    const { directory, rest, isBroken } = this.#resolve(path, true);
    if (rest.length > 0 || isBroken) return undefined;
    this.#byText.set(path, directory);
    return directory;
  }

  /** The entry of that name; `name` is one component and no link is followed. */
  entry(directory: MergedDirectory, name: string): FileNode | undefined {
    const found = this.#find(directory, name);
    return found && toFileNode(joinPath(directory.path, name), found.hostPath, found.stats);
  }

  /** Entries in byte order of their names. */
  entries(directory: MergedDirectory): readonly FileNode[] {
    const [only] = directory.layers;
    if (only !== undefined && directory.layers.length === 1) {
      return nodesOf(
        directory,
        readNames(only).map((name) => [name, only]),
      );
    }
    const newest = new Map<string, string>();
    for (const layer of directory.layers) {
      for (const name of readNames(layer)) if (!newest.has(name)) newest.set(name, layer);
    }
    return nodesOf(
      directory,
      sortNames([...newest.keys()]).map((name) => [name, newest.get(name) ?? '']),
    );
  }

  /** The subdirectory of that name (no link is followed), or undefined. */
  child(parent: MergedDirectory, name: string): MergedDirectory | undefined {
    const known = parent.children.get(name);
    if (known !== undefined) return known;
    const layers = this.#layersOf(parent, name);
    if (layers.length === 0) return undefined;
    const child = { path: joinPath(parent.path, name), layers, children: new Map() };
    parent.children.set(name, child);
    return child;
  }

  /** Forgets the directory at a canonical path and all below it. */
  forget(path: string): void {
    this.#byText.clear();
    const names = path.split('/').filter((name) => name !== '');
    const last = names.pop();
    if (last === undefined) {
      this.invalidate();
      return;
    }
    let parent: MergedDirectory | undefined = this.#root;
    for (const name of names) parent = parent?.children.get(name);
    parent?.children.delete(last);
  }

  /** Forgets everything. */
  invalidate(): void {
    this.#byText.clear();
    this.#root = { path: '/', layers: this.#dirs, children: new Map() };
  }

  #find(directory: MergedDirectory, name: string): { hostPath: string; stats: Stats } | undefined {
    for (const layer of directory.layers) {
      const hostPath = `${layer}/${name}`;
      const stats = lstatPath(hostPath);
      if (stats !== undefined) return isWhiteout(stats) ? undefined : { hostPath, stats };
    }
    return undefined;
  }

  #layersOf(parent: MergedDirectory, name: string): string[] {
    const layers: string[] = [];
    const oldest = parent.layers.at(-1);
    for (const layer of parent.layers) {
      const hostPath = `${layer}/${name}`;
      const stats = lstatPath(hostPath);
      if (stats === undefined) continue;
      if (!stats.isDirectory()) break;
      layers.push(hostPath);
      if (layer !== oldest && hasOpaqueMark(hostPath, this.#opaqueXattrs)) break;
    }
    return layers;
  }

  #resolve(path: string, followLast: boolean): Resolution {
    const pending = path.split('/').reverse();
    const chain = [this.#root];
    const rest: string[] = [];
    let links = 0;
    let isBroken = false;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (rest.pop() !== undefined) isBroken = true;
        else if (chain.length > 1) chain.pop();
        continue;
      }
      const current = chain.at(-1) ?? this.#root;
      const next = rest.length > 0 ? undefined : this.#step(current, name, followLast || !isLast(pending));
      if (next === undefined) {
        rest.push(name);
      } else if (typeof next !== 'string') {
        chain.push(next);
      } else {
        links++;
        if (links > MAX_LINKS) throw linkLoop(path);
        if (next.startsWith('/')) chain.length = 1;
        pending.push(...next.split('/').reverse());
      }
    }
    return { directory: chain.at(-1) ?? this.#root, rest, isBroken };
  }

  /** The directory of that name, or the target of the link of that name; undefined for all else. */
  #step(current: MergedDirectory, name: string, mayFollow: boolean): MergedDirectory | string | undefined {
    const directory = this.child(current, name);
    if (directory !== undefined || !mayFollow) return directory;
    const found = this.#find(current, name);
    return found?.stats.isSymbolicLink() ? readLink(found.hostPath) : undefined;
  }
}

function linkLoop(path: string): TsbuildError {
  return new TsbuildError('TSB_PATH_LINK_LOOP', `too many symbolic links while resolving "${path}"`);
}

function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..';
}

function isLast(pending: readonly string[]): boolean {
  return pending.every((name) => name === '' || name === '.');
}

function directoryNode(directory: MergedDirectory): FileNode | undefined {
  const [hostPath] = directory.layers;
  const stats = hostPath === undefined ? undefined : lstatPath(hostPath);
  return hostPath !== undefined && stats !== undefined ? toFileNode(directory.path, hostPath, stats) : undefined;
}

function nodesOf(directory: MergedDirectory, places: readonly (readonly [name: string, layer: string])[]): FileNode[] {
  const nodes: FileNode[] = [];
  for (const [name, layer] of places) {
    const hostPath = `${layer}/${name}`;
    const stats = lstatPath(hostPath);
    if (stats === undefined || isWhiteout(stats)) continue;
    nodes.push(toFileNode(joinPath(directory.path, name), hostPath, stats));
  }
  return nodes;
}
