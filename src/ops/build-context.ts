// A local directory as the tree COPY and ADD read: ignored files are not there, everything belongs to root (as BuildKit's
// clients send it), sockets are empty files, and links lead nowhere outside.
//
// Nothing is walked that nobody asks for, and what was seen once stays as it was seen: so the bytes that were digested and
// the bytes that are copied can be told to be the same (see source-file.ts).
import { lstatSync, realpathSync, type Stats } from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import { fileTypeOf, readLink } from '../snapshot/file-node.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { joinPath } from '../snapshot/root-view.ts';
import { getXattr, listXattrs, splitDevice } from '../sys/libc.ts';
import { readNames, toFsPath } from '../sys/path-bytes.ts';
import type { PathFilter, PathFilterState } from './path-filter.ts';
import { parentPath, resolveInside } from './tree-path.ts';

export interface ContextTreeOptions {
  /** What is left out, from the ignore file; nothing when absent. */
  readonly ignore?: PathFilter;
}

const NO_DEVICE = { major: 0, minor: 0 } as const;
const EXISTING_ONLY = { throwIfNoEntry: false } as const;

interface DirectoryState {
  readonly isIgnored: boolean;
  readonly patterns: PathFilterState | undefined;
}

const ROOT_STATE: DirectoryState = { isIgnored: false, patterns: undefined };

/** See above. Not for reuse in a later build: what it has seen it never looks at again. */
export class ContextTree implements FileTree {
  /** The directory itself, links resolved. */
  readonly root: string;
  readonly #ignore: PathFilter | undefined;
  readonly #states = new Map<string, DirectoryState>([['/', ROOT_STATE]]);
  readonly #lists = new Map<string, readonly FileNode[]>();
  readonly #nodes = new Map<string, FileNode>();

  /** Throws TSB_CONTEXT_NOT_FOUND or TSB_CONTEXT_NOT_A_DIRECTORY. */
  constructor(directory: string, options: ContextTreeOptions = {}) {
    this.root = resolveRoot(directory);
    this.#ignore = options.ignore;
  }

  lookup(path: string, options: { readonly followLast?: boolean } = {}): FileNode | undefined {
    const resolved = resolveInside(path, (step) => this.#linkAt(step), { followLast: options.followLast === true });
    return this.#node(resolved);
  }

  list(path: string): readonly FileNode[] {
    const directory = this.lookup(path, { followLast: true });
    if (directory?.type !== 'dir') throw new TsbuildError('TSB_PATH_NOT_A_DIRECTORY', `"${path}" is not a directory`);
    const known = this.#lists.get(directory.path);
    if (known !== undefined) return known;
    const nodes = this.#readDirectory(directory);
    this.#lists.set(directory.path, nodes);
    return nodes;
  }

  xattrs(node: FileNode): readonly (readonly [name: string, value: Uint8Array])[] {
    const found: [string, Uint8Array][] = [];
    for (const name of listXattrs(node.hostPath)) {
      // Marks of an overlay the context may lie in must not become marks of ours.
      const value = /^(trusted|user)\.overlay\./.test(name) ? undefined : getXattr(node.hostPath, name);
      if (value !== undefined) found.push([name, value]);
    }
    return found;
  }

  /** True when something is at the path on disk that the ignore file leaves out. */
  isIgnored(path: string): boolean {
    const stats = lstatSync(toFsPath(this.#hostPath(path)), EXISTING_ONLY);
    return stats !== undefined && this.#node(path) === undefined;
  }

  #hostPath(path: string): string {
    return path === '/' ? this.root : this.root + path;
  }

  #linkAt(path: string): string | undefined {
    const node = this.#node(path);
    return node?.type === 'symlink' ? node.linkTarget : undefined;
  }

  /** The visible entry at a path whose parents are no links. */
  #node(path: string): FileNode | undefined {
    const known = this.#nodes.get(path);
    if (known !== undefined) return known;
    const hostPath = this.#hostPath(path);
    const stats = lstatSync(toFsPath(hostPath), EXISTING_ONLY);
    if (stats === undefined || !this.#isVisible(path, stats.isDirectory())) return undefined;
    const node = contextNode(path, hostPath, stats);
    this.#nodes.set(path, node);
    return node;
  }

  #readDirectory(directory: FileNode): readonly FileNode[] {
    const nodes: FileNode[] = [];
    for (const name of readNames(directory.hostPath)) {
      const hostPath = `${directory.hostPath}/${name}`;
      const stats = lstatSync(toFsPath(hostPath), EXISTING_ONLY);
      if (stats === undefined) continue;
      const path = joinPath(directory.path, name);
      if (this.#ignore !== undefined && !this.#isVisible(path, stats.isDirectory())) continue;
      nodes.push(contextNode(path, hostPath, stats));
    }
    return nodes;
  }

  #isVisible(path: string, isDirectory: boolean): boolean {
    if (this.#ignore === undefined || path === '/') return true;
    const state = this.#stateOf(path);
    if (isDirectory) this.#states.set(path, state);
    if (!state.isIgnored) return true;
    return isDirectory && this.#hasVisibleEntry(path);
  }

  #stateOf(path: string): DirectoryState {
    const known = this.#states.get(path);
    if (known !== undefined) return known;
    const above = parentPath(path);
    const parent = this.#stateOf(above);
    this.#states.set(above, parent);
    const step = this.#ignore?.step(path.slice(1), parent.patterns);
    return step === undefined ? ROOT_STATE : { isIgnored: step.isMatch, patterns: step.state };
  }

  /** An ignored directory is there when something in it is: the parent of a re-included file. */
  #hasVisibleEntry(path: string): boolean {
    if (this.#ignore?.mayUnmatchBelow(path.slice(1)) !== true) return false;
    const directory = this.#hostPath(path);
    return readNames(directory).some((name) => {
      const stats = lstatSync(toFsPath(`${directory}/${name}`), EXISTING_ONLY);
      return stats !== undefined && this.#isVisible(joinPath(path, name), stats.isDirectory());
    });
  }
}

function resolveRoot(directory: string): string {
  const stats = statDirectory(directory);
  if (stats?.isDirectory() === true) return realpathSync(directory);
  if (stats === undefined) {
    throw new TsbuildError('TSB_CONTEXT_NOT_FOUND', `build context "${directory}" does not exist`);
  }
  throw new TsbuildError('TSB_CONTEXT_NOT_A_DIRECTORY', `build context "${directory}" is not a directory`);
}

function statDirectory(directory: string): Stats | undefined {
  try {
    return lstatSync(realpathSync(directory), EXISTING_ONLY);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')) {
      return undefined;
    }
    throw cause;
  }
}

function contextNode(path: string, hostPath: string, stats: Stats): FileNode {
  const found = fileTypeOf(stats.mode);
  const type = found === 'socket' ? 'file' : found;
  return {
    path,
    hostPath,
    type,
    mode: stats.mode & 0o7777,
    uid: 0,
    gid: 0,
    size: found === 'file' ? stats.size : 0,
    mtimeMs: stats.mtimeMs,
    ctimeMs: stats.ctimeMs,
    dev: stats.dev,
    ino: stats.ino,
    nlink: stats.nlink,
    rdev: type === 'char' || type === 'block' ? splitDevice(stats.rdev) : NO_DEVICE,
    linkTarget: type === 'symlink' ? readLink(hostPath) : '',
  };
}
