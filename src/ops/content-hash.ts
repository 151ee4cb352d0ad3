// BuildKit's content checksum (cache/contenthash of moby/buildkit) over any tree of files: what COPY, ADD and bind mounts
// are keyed by. It covers type, mode, owner, link target, size, extended attributes and bytes, and never a time.
//
// A file's digest is over its header and bytes. A directory's is over its own header's digest and, in byte order, each
// entry's name and digest. A selection by wildcard or filter is a flat list: every selected path with its digest, where a
// directory counts by its header alone, since some of its entries may have been left out.
import { createHash } from 'node:crypto';
import { type Digest, digestFromHex, digestOf } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { ContentSelector } from '../../solver/op-runner.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { baseName, cleanPath } from '../snapshot/tree-path.ts';
import type { Slices } from '../sys/turns.ts';
import { matchBelow, splitWildcards } from './glob.ts';
import { type DirectorySelection, selectionOf } from './path-filter.ts';

/** The digest of a node by itself: header and, for a regular file, bytes. */
type DigestFile = (node: FileNode) => Slices<Digest>;

/** The digest of nothing; also the header of a build context's root, which has no header of its own. */
export const EMPTY_DIGEST = digestOf('');

/**
 * The digest that stands for all the selected contents, in the order given. Throws TSB_COPY_SOURCE_NOT_FOUND.
 * Pauses now and then, also within a large file.
 */
export function* contentDigestOf(
  tree: FileTree,
  selectors: readonly ContentSelector[],
  digestFile: DigestFile,
): Slices<Digest> {
  const wanted = selectors.length === 0 ? [WHOLE_TREE] : selectors;
  const digests: Digest[] = [];
  for (const selector of wanted) digests.push(yield* selectedDigest(tree, selector, digestFile));
  return digestOf(digests.join('\0'));
}

const WHOLE_TREE: ContentSelector = { path: '/', wildcard: false, followLinks: false };

/** The checksum of one selector. */
export function* selectedDigest(tree: FileTree, selector: ContentSelector, digestFile: DigestFile): Slices<Digest> {
  const lists = [selector.includePatterns, selector.excludePatterns, selector.requiredPaths];
  const hasFilters = lists.some(hasPatterns);
  if (!selector.wildcard && !hasFilters)
    return yield* pathDigest(tree, selector.path, selector.followLinks, digestFile);
  requirePaths(tree, selector.requiredPaths);
  const list = new SelectionList(tree, selector, digestFile);
  if (selector.wildcard) yield* addWildcardMatches(list, tree, selector);
  else yield* addPath(list, tree, selector);
  return list.digest();
}

/** Throws TSB_COPY_SOURCE_NOT_FOUND for the first of the paths of the tree that is not there. */
export function requirePaths(tree: FileTree, paths: readonly string[] | undefined): void {
  for (const path of paths ?? []) {
    if (tree.lookup(cleanPath(path), { followLast: true }) === undefined) throw sourceNotFound(path);
  }
}

function hasPatterns(patterns: readonly string[] | undefined): boolean {
  return patterns !== undefined && patterns.length > 0;
}

function* pathDigest(tree: FileTree, path: string, followLinks: boolean, digestFile: DigestFile): Slices<Digest> {
  const node = tree.lookup(cleanPath(path), { followLast: followLinks });
  if (node === undefined) throw sourceNotFound(path);
  return yield* node.type === 'dir' ? directoryDigest(tree, node, digestFile) : digestFile(node);
}

function* directoryDigest(tree: FileTree, directory: FileNode, digestFile: DigestFile): Slices<Digest> {
  const sum = new TextDigest();
  sum.add(`\0${yield* digestFile(directory)}`);
  for (const node of tree.list(directory.path)) {
    const digest = yield* node.type === 'dir' ? directoryDigest(tree, node, digestFile) : digestFile(node);
    sum.add(`\0${baseName(node.path)}${digest}`);
    yield;
  }
  return sum.digest();
}

function* addPath(list: SelectionList, tree: FileTree, selector: ContentSelector): Slices<void> {
  const path = cleanPath(selector.path);
  const node = tree.lookup(path);
  if (node !== undefined) yield* list.addRoot(node, '', path !== '/');
}

function* addWildcardMatches(list: SelectionList, tree: FileTree, selector: ContentSelector): Slices<void> {
  const { prefix, patterns } = splitWildcards(selector.path);
  if (patterns.length === 0) {
    yield* addPath(list, tree, selector);
    return;
  }
  const base = tree.lookup(prefix, { followLast: true });
  if (base?.type !== 'dir') return;
  for (const { node, relative } of matchBelow(tree, base.path, patterns)) {
    yield* list.addRoot(node, `/${relative}`, true);
  }
}

/** A directory on the way to a selected file: listed only once something below it is. */
interface PendingHeader {
  readonly key: string;
  readonly digest: Digest;
  isListed: boolean;
}

class SelectionList {
  readonly #tree: FileTree;
  readonly #selector: ContentSelector;
  readonly #digestFile: DigestFile;
  readonly #selection: DirectorySelection | undefined;
  readonly #parents: PendingHeader[] = [];
  readonly #sum = new TextDigest();
  #count = 0;
  #first: { readonly name: string; readonly digest: Digest } | undefined;

  constructor(tree: FileTree, selector: ContentSelector, digestFile: DigestFile) {
    this.#tree = tree;
    this.#selector = selector;
    this.#digestFile = digestFile;
    this.#selection = selectionOf(selector);
  }

  /** A source itself: `key` is its path below the part of the pattern without wildcards. */
  *addRoot(node: FileNode, key: string, hasHeader: boolean): Slices<void> {
    if (node.type === 'dir') {
      yield* this.#addDirectory(node, key, this.#selection, hasHeader);
    } else if (this.#selection?.isSelected !== false) {
      const isFollowed = node.type === 'symlink' && this.#selector.followLinks;
      const digest = yield* isFollowed
        ? pathDigest(this.#tree, node.path, true, this.#digestFile)
        : this.#digestFile(node);
      this.#list(key, node, digest);
    }
  }

  digest(): Digest {
    if (this.#count === 0) return EMPTY_DIGEST;
    if (this.#count === 1 && this.#first?.name === baseName(cleanPath(this.#selector.path))) return this.#first.digest;
    return this.#sum.digest();
  }

  *#addDirectory(
    node: FileNode,
    key: string,
    selection: DirectorySelection | undefined,
    hasHeader: boolean,
  ): Slices<void> {
    if (hasHeader) yield* this.#enter(node, key, selection?.isSelected !== false);
    for (const child of this.#tree.list(node.path)) {
      const name = baseName(child.path);
      const childKey = `${key}/${name}`;
      if (child.type === 'dir') yield* this.#addDirectory(child, childKey, selection?.enter(name), true);
      else if (selection?.selects(name) !== false) this.#list(childKey, child, yield* this.#digestFile(child));
      yield;
    }
    if (hasHeader) this.#parents.pop();
  }

  *#enter(node: FileNode, key: string, isSelected: boolean): Slices<void> {
    const digest = yield* this.#digestFile(node);
    if (isSelected) this.#list(key, node, digest);
    this.#parents.push({ key, digest, isListed: isSelected });
  }

  #list(key: string, node: FileNode, digest: Digest): void {
    for (const parent of this.#parents) {
      if (parent.isListed) continue;
      parent.isListed = true;
      this.#write(parent.key, baseName(parent.key), parent.digest);
    }
    this.#write(key, baseName(node.path), digest);
  }

  #write(key: string, name: string, digest: Digest): void {
    this.#count++;
    this.#first ??= { name, digest };
    this.#sum.add(`${key === '' ? '\0' : key.replaceAll('/', '\0')}${digest}`);
  }
}

const FLUSH_LENGTH = 1 << 16;

/** sha256 over text that comes in many small pieces. */
class TextDigest {
  readonly #hash = createHash('sha256');
  #pending = '';

  add(text: string): void {
    this.#pending += text;
    if (this.#pending.length > FLUSH_LENGTH) this.#flush();
  }

  digest(): Digest {
    this.#flush();
    return digestFromHex(this.#hash.digest('hex'));
  }

  #flush(): void {
    this.#hash.update(this.#pending);
    this.#pending = '';
  }
}

/** What BuildKit says of a source that is not there; who knows the build context or the instruction adds a hint. */
export function sourceNotFound(path: string): TsbuildError {
  return new TsbuildError('TSB_COPY_SOURCE_NOT_FOUND', `"${cleanPath(path)}": not found`);
}
