// A local directory as the tree COPY and ADD read: ignored files are not there, everything belongs to root (as BuildKit's
// clients send it), sockets are empty files, and links lead nowhere outside.
//
// Nothing is walked that nobody asks for, and what was seen once stays as it was seen: so the bytes that were digested and
// the bytes that are copied can be told to be the same (see source-file.ts).
import { lstatSync, realpathSync, type Stats } from 'node:fs';
import type { IgnoreState, PatternMatcher } from '../../frontend/dockerignore.ts';
import type { IgnorePattern } from '../../frontend/dockerignore-pattern.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { toFileNode } from '../snapshot/file-node.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { baseName, joinPath, parentPath, resolveInside } from '../snapshot/tree-path.ts';
import { codeOf } from '../sys/error-code.ts';
import { getXattr, listXattrs } from '../sys/libc.ts';
import { readNames, toFsPath } from '../sys/path-bytes.ts';
import { isOwnerRecord } from '../sys/recorded-owner.ts';
import { readFailure } from './source-file.ts';

interface ContextTreeOptions {
  /** What is left out, from the ignore file; nothing when absent. */
  readonly ignore?: PatternMatcher;
  /** Files belong to whom they belong on disk, and not to root: for what was unpacked from an archive. */
  readonly keepsOwners?: boolean;
}

const ROOT = { uid: 0, gid: 0 } as const;
const EXISTING_ONLY = { throwIfNoEntry: false } as const;

/** See above. Not for reuse in a later build: what it has seen it never looks at again. */
export class ContextTree implements FileTree {
  /** The directory itself, links resolved. */
  readonly root: string;
  readonly #ignore: PatternMatcher | undefined;
  readonly #keepsOwners: boolean;
  readonly #states = new Map<string, IgnoreState>();
  readonly #lists = new Map<string, readonly FileNode[]>();
  readonly #nodes = new Map<string, FileNode>();

  /** Throws TSB_CONTEXT_NOT_FOUND or TSB_CONTEXT_NOT_A_DIRECTORY. */
  constructor(directory: string, options: ContextTreeOptions = {}) {
    this.root = resolveRoot(directory);
    this.#ignore = options.ignore;
    this.#keepsOwners = options.keepsOwners === true;
    if (options.ignore !== undefined) this.#states.set('/', options.ignore.root());
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
      const isMark = /^(trusted|user)\.overlay\./.test(name) || isOwnerRecord(name, true);
      const value = isMark ? undefined : getXattr(node.hostPath, name);
      if (value !== undefined) found.push([name, value]);
    }
    return found;
  }

  /** The pattern of the ignore file that leaves out what is at the path on disk. */
  excludedBy(path: string): IgnorePattern | undefined {
    const isThere = lstatSync(toFsPath(this.#hostPath(path)), EXISTING_ONLY) !== undefined;
    return isThere ? this.#ignore?.explain(path) : undefined;
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
    const node = contextNode(path, hostPath, stats, this.#keepsOwners);
    this.#nodes.set(path, node);
    return node;
  }

  #readDirectory(directory: FileNode): readonly FileNode[] {
    const nodes: FileNode[] = [];
    for (const name of namesIn(directory)) {
      const hostPath = `${directory.hostPath}/${name}`;
      const stats = lstatSync(toFsPath(hostPath), EXISTING_ONLY);
      if (stats === undefined) continue;
      const path = joinPath(directory.path, name);
      if (this.#ignore !== undefined && !this.#isVisible(path, stats.isDirectory())) continue;
      nodes.push(contextNode(path, hostPath, stats, this.#keepsOwners));
    }
    return nodes;
  }

  #isVisible(path: string, isDirectory: boolean): boolean {
    if (this.#ignore === undefined || path === '/') return true;
    if (!isDirectory) return this.#stateOf(parentPath(path))?.excludes(baseName(path)) !== true;
    const state = this.#stateOf(path);
    if (state?.excluded !== true) return true;
    return state.mayHaveReincludedChildren && this.#hasVisibleEntry(path);
  }

  #stateOf(directory: string): IgnoreState | undefined {
    const known = this.#states.get(directory);
    if (known !== undefined || directory === '/') return known;
    const state = this.#stateOf(parentPath(directory))?.enter(baseName(directory));
    if (state !== undefined) this.#states.set(directory, state);
    return state;
  }

  /** An ignored directory is there when something in it is: the parent of a re-included file. */
  #hasVisibleEntry(path: string): boolean {
    const hostPath = this.#hostPath(path);
    return namesIn({ path, hostPath }).some((name) => {
      const stats = lstatSync(toFsPath(`${hostPath}/${name}`), EXISTING_ONLY);
      return stats !== undefined && this.#isVisible(joinPath(path, name), stats.isDirectory());
    });
  }
}

function namesIn(directory: Pick<FileNode, 'path' | 'hostPath'>): readonly string[] {
  try {
    return readNames(directory.hostPath);
  } catch (cause) {
    throw readFailure(directory, cause);
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
    const code = codeOf(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw cause;
  }
}

function contextNode(path: string, hostPath: string, stats: Stats, keepsOwners: boolean): FileNode {
  try {
    const node = toFileNode(path, hostPath, stats, keepsOwners ? undefined : ROOT);
    return node.type === 'socket' ? { ...node, type: 'file' } : node;
  } catch (cause) {
    throw readFailure({ path }, cause);
  }
}
