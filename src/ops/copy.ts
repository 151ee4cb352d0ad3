// COPY and ADD: where each source goes, what its parents become, and which sources there are.
// Semantics of solver/llbsolver/file/backend.go in moby/buildkit and of github.com/tonistiigi/fsutil/copy.
import type { CopyAction } from '../../solver/op.ts';
import type { DirectoryAttributes } from '../snapshot/copy-up.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { baseName, cleanPath, joinPath, parentPath } from '../snapshot/tree-path.ts';
import type { UpperWriter } from '../snapshot/upper-writer.ts';
import { inTurns } from '../sys/turns.ts';
import type { FileOwner } from '../sys/recorded-owner.ts';
import { parseSymbolicMode } from './chmod-symbolic.ts';
import { requirePaths, sourceNotFound } from './content-hash.ts';
import { parentNotADirectory } from './copy-errors.ts';
import { type MapMode, TreeCopier } from './copy-tree.ts';
import type { FileWriter } from './file-writer.ts';
import { matchBelow, splitWildcards } from './glob.ts';
import { selectionOf } from './path-filter.ts';
import type { SnapshotReuse } from './reuse.ts';
import type { SourceDigests } from './source-digests.ts';

/** Where a copy writes. */
interface CopyTarget {
  readonly writer: UpperWriter;
  readonly upperDir: string;
  readonly files: FileWriter;
  readonly signal: AbortSignal;
}

/** One copy with what it reads; links and `..` lead nowhere outside of the source's tree. */
export interface CopyRequest {
  readonly action: CopyAction;
  readonly source: SourceDigests;
  readonly owner?: FileOwner;
  readonly reuse?: SnapshotReuse;
  /** Unpacks the node into the directory if it is an archive; false when it is none. */
  readonly unpack: (node: FileNode, directory: string) => Promise<boolean>;
}

/** One source of a copy: the path as named (its last component may become the destination's name) and what it leads to. */
interface CopySource {
  readonly name: string;
  readonly node: FileNode;
}

/** Runs the action. Throws TSB_COPY_SOURCE_NOT_FOUND, TSB_COPY_NOT_A_DIRECTORY, TSB_COPY_IS_A_DIRECTORY and others. */
export async function copyInto(target: CopyTarget, request: CopyRequest): Promise<void> {
  const { action, owner } = request;
  if (action.createDestPath !== true) requireParent(target.writer, action.dest);
  for (const source of findSources(request.source.tree, action)) {
    if (action.attemptUnpack === true && (await unpackInto(request, source))) continue;
    await copyOne(target, request, source, parentAttributes(action, owner));
  }
}

function requireParent(writer: UpperWriter, dest: string): void {
  const path = parentPath(writer.view.resolveParent(dest, { followLast: true }));
  if (writer.view.lookup(path) === undefined) throw sourceNotFound(path);
}

/** Throws TSB_COPY_SOURCE_NOT_FOUND as a run of the action would; nothing is read but names. */
export function requireSources(tree: FileTree, action: CopyAction): void {
  findSources(tree, action);
}

/** The sources in byte order; none for a wildcard without a match. */
function findSources(tree: FileTree, action: CopyAction): readonly CopySource[] {
  const follow = action.followSymlink === true;
  requirePaths(tree, action.requiredPaths);
  const { prefix, patterns } = splitWildcards(action.src);
  if (action.allowWildcard !== true || patterns.length === 0) {
    const node = tree.lookup(action.src, { followLast: follow });
    if (node === undefined) throw sourceNotFound(action.src);
    return [{ name: baseName(cleanPath(action.src)), node }];
  }
  const base = tree.lookup(prefix, { followLast: true });
  const matches = base?.type === 'dir' ? matchBelow(tree, base.path, patterns) : [];
  if (matches.length === 0 && action.allowEmptyWildcard !== true) throw sourceNotFound(action.src);
  return matches.map(({ node }) => {
    const followed = follow && node.type === 'symlink' ? tree.lookup(node.path, { followLast: true }) : node;
    if (followed === undefined) throw sourceNotFound(node.path);
    return { name: baseName(node.path), node: followed };
  });
}

/** What directories that have to be made on the way to the destination get: its owner and mode, as in BuildKit. */
function parentAttributes(action: CopyAction, owner: FileOwner | undefined): DirectoryAttributes {
  const mode = action.modeStr !== undefined || action.mode === -1 ? 0o755 : action.mode & 0o777;
  return { mode, uid: owner?.uid ?? 0, gid: owner?.gid ?? 0 };
}

async function copyOne(
  target: CopyTarget,
  request: CopyRequest,
  source: CopySource,
  parents: DirectoryAttributes,
): Promise<void> {
  const { action, owner, reuse } = request;
  const path = targetPath(target.writer, action, source, parents);
  const selection = selectionOf(action);
  const mapMode = modeMapping(action);
  const copier = new TreeCopier({
    tree: request.source.tree,
    writer: target.writer,
    upperDir: target.upperDir,
    files: target.files,
    digests: request.source,
    replacesExisting: action.alwaysReplaceExistingDestPaths === true,
    ...(reuse && { reuse: reuse.for(request.source) }),
    ...(owner && { owner }),
    ...(mapMode && { mapMode }),
    ...(selection && { selection }),
  });
  await inTurns(copier.copy(source.node, path), target.signal);
}

/** The path the source itself goes to; the directories above it are there when this returns. */
function targetPath(writer: UpperWriter, action: CopyAction, source: CopySource, parents: DirectoryAttributes): string {
  const isDirectory = source.node.type === 'dir';
  const takesContents = isDirectory && action.dirCopyContents === true;
  const named = directoryPart(action.dest);
  if (named !== undefined) makeDirectories(writer, named, parents, action);
  const dest = writer.view.resolveParent(action.dest, { followLast: true });
  const existing = writer.view.lookup(dest);
  const goesInto = isDirectory ? !takesContents && existing !== undefined : existing?.type === 'dir';
  const path = goesInto ? joinPath(dest, source.name) : dest;
  // A directory that takes the contents of another is made like those above it: the source's own mode and owner stay behind.
  const isMade = takesContents && existing === undefined;
  makeDirectories(writer, isMade ? path : parentPath(path), parents, action);
  return path;
}

/** The part of a destination that names a directory whatever the source is. */
function directoryPart(dest: string): string | undefined {
  const last = dest.slice(dest.lastIndexOf('/') + 1);
  const directory = last === '' || last === '.' ? dest : dest.slice(0, dest.length - last.length);
  return directory === '' ? undefined : directory;
}

function makeDirectories(writer: UpperWriter, path: string, attributes: DirectoryAttributes, action: CopyAction): void {
  try {
    writer.ensureDir(path, attributes, { replaceFile: action.alwaysReplaceExistingDestPaths === true });
  } catch (cause) {
    throw parentNotADirectory(cleanPath(path), cause);
  }
}

function modeMapping(action: CopyAction): MapMode | undefined {
  if (action.modeStr !== undefined) return parseSymbolicMode(action.modeStr);
  return action.mode === -1 ? undefined : () => action.mode & 0o7777;
}

async function unpackInto(request: CopyRequest, source: CopySource): Promise<boolean> {
  if (source.node.type !== 'file') return false;
  return await request.unpack(source.node, request.action.dest);
}
