// The paths a step read, each with what counts of it: small enough to keep, and enough to tell what changed.
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import type { Reason } from './reason.ts';

/** One file of a list, small enough to be kept for every step that ran. */
export interface PathEntry {
  readonly path: string;
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly link: string;
  /** The first digits of the digest over header and bytes. */
  readonly digest: string;
  /** Names and values, or empty; undefined when there were too many files to ask. */
  readonly xattrs: string | undefined;
}

/** Asking each file of a large tree for its attributes takes too long. */
const MOST_XATTRS = 2000;
const DIGEST_LENGTH = 16;

/** Entries of the nodes with their digests. */
export function listPaths(
  tree: FileTree,
  nodes: readonly { readonly node: FileNode; readonly digest: string }[],
): readonly PathEntry[] {
  const withXattrs = nodes.length <= MOST_XATTRS;
  return nodes.map(({ node, digest }) => ({
    path: node.path,
    type: node.type,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    size: node.size,
    link: node.linkTarget,
    digest: digest.slice('sha256:'.length, 'sha256:'.length + DIGEST_LENGTH),
    xattrs: withXattrs ? xattrText(tree, node) : undefined,
  }));
}

function xattrText(tree: FileTree, node: FileNode): string {
  return tree
    .xattrs(node)
    .filter(([name]) => name === 'security.capability' || !/^(security|system)\./.test(name))
    .map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`)
    .join(' ');
}

/** Lists by input number, compressed. */
export function encodePathLists(lists: ReadonlyMap<number, readonly PathEntry[]>): Uint8Array {
  // One text that grows: a list of all fields would be ten times the size of the entries.
  let text = '';
  for (const [input, entries] of lists) {
    for (const entry of entries) text += `${text === '' ? '' : '\0'}${textOf(input, entry)}`;
  }
  return zstdCompressSync(text);
}

const FIELDS = 10;

function textOf(input: number, { path, type, mode, uid, gid, size, link, digest, xattrs }: PathEntry): string {
  return `${input}\0${path}\0${type}\0${mode.toString(8)}\0${uid}\0${gid}\0${size}\0${link}\0${digest}\0${xattrs ?? '?'}`;
}

/** The inverse. */
export function decodePathLists(bytes: Uint8Array): ReadonlyMap<number, readonly PathEntry[]> {
  const text = zstdDecompressSync(bytes).toString('utf8');
  const lists = new Map<number, PathEntry[]>();
  const fields = new Array<string>(FIELDS);
  for (let at = 0; at < text.length; ) {
    for (let field = 0; field < FIELDS; field += 1) {
      const found = text.indexOf('\0', at);
      const end = found < 0 ? text.length : found;
      fields[field] = text.slice(at, end);
      at = end + 1;
    }
    const [input] = fields;
    const list = lists.get(Number(input)) ?? [];
    lists.set(Number(input), list);
    list.push(entryOf(fields));
  }
  return lists;
}

function entryOf([
  ,
  path = '',
  type = '',
  mode = '',
  uid,
  gid,
  size,
  link = '',
  digest = '',
  xattrs,
]: string[]): PathEntry {
  return {
    path,
    type,
    mode: Number.parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
    size: Number(size),
    link,
    digest,
    xattrs: xattrs === '?' ? undefined : xattrs,
  };
}

type PathReason = Reason & { readonly kind: 'path' };

/** True when the bytes now at the path, under the header it had, still have the digest it had. */
export type HasSameBytes = (old: PathEntry) => boolean;

/** What changed from one list to the other, in the order of paths; equal changes of many modes are one. */
export function comparePaths(
  before: readonly PathEntry[],
  after: readonly PathEntry[],
  hasSameBytes: HasSameBytes,
): readonly Reason[] {
  // What is left here in the end is gone now.
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const added: PathEntry[] = [];
  const changes: PathReason[] = [];
  for (const entry of after) {
    const earlier = old.get(entry.path);
    old.delete(entry.path);
    if (earlier === undefined) added.push(entry);
    else if (earlier.digest !== entry.digest) changes.push(...changesOf(earlier, entry, hasSameBytes));
  }
  const removed = [...old.values()];
  const { renames, isRenamed } = findRenames(removed, added);
  return [
    ...gatherModes(changes),
    ...renames,
    ...added
      .filter((entry) => !isRenamed(entry))
      .map(({ path }): PathReason => ({ kind: 'path', path: shown(path), change: 'added' })),
    ...removed
      .filter((entry) => !isRenamed(entry))
      .map(({ path }): PathReason => ({ kind: 'path', path: shown(path), change: 'removed' })),
  ];
}

/** A file that is gone and one that is new, with the same header and bytes. */
function findRenames(removed: readonly PathEntry[], added: readonly PathEntry[]) {
  const sources = new Map(removed.filter(({ type }) => type !== 'dir').map((entry) => [entry.digest, entry]));
  const involved = new Set<PathEntry>();
  const renames: PathReason[] = [];
  for (const entry of added) {
    const source = sources.get(entry.digest);
    if (source === undefined || entry.type === 'dir') continue;
    sources.delete(entry.digest);
    involved.add(entry).add(source);
    renames.push({
      kind: 'path',
      path: shown(entry.path),
      change: 'renamed',
      old: shown(source.path),
      new: shown(entry.path),
    });
  }
  return { renames, isRenamed: (entry: PathEntry) => involved.has(entry) };
}

function changesOf(old: PathEntry, now: PathEntry, hasSameBytes: HasSameBytes): readonly PathReason[] {
  const path = shown(now.path);
  if (old.type !== now.type) return [{ kind: 'path', path, change: 'type', old: old.type, new: now.type }];
  const found: PathReason[] = [];
  if (old.link !== now.link) found.push({ kind: 'path', path, change: 'link', old: old.link, new: now.link });
  if (old.mode !== now.mode) found.push({ kind: 'path', path, change: 'mode', old: octal(old), new: octal(now) });
  if (old.uid !== now.uid || old.gid !== now.gid)
    found.push({ kind: 'path', path, change: 'owner', old: `${old.uid}:${old.gid}`, new: `${now.uid}:${now.gid}` });
  const hasXattrs = old.xattrs !== undefined && now.xattrs !== undefined && old.xattrs !== now.xattrs;
  if (hasXattrs) found.push({ kind: 'path', path, change: 'xattrs', old: old.xattrs ?? '', new: now.xattrs ?? '' });
  const isContent =
    now.type === 'file' && (old.size !== now.size || found.length === 0 || !(hasXattrs || hasSameBytes(old)));
  return isContent ? [{ kind: 'path', path, change: 'content', old: old.digest, new: now.digest }, ...found] : found;
}

const MANY = 5;

/** Where many modes changed by the same bits, one reason for each old and new mode of theirs, the commonest first. */
function gatherModes(changes: readonly PathReason[]): readonly Reason[] {
  const modes = changes.filter(({ change }) => change === 'mode');
  const alike = Map.groupBy(modes, ({ old = '', new: now = '' }) => Number.parseInt(old, 8) ^ Number.parseInt(now, 8));
  const gathered = [...alike.values()].filter(({ length }) => length >= MANY);
  if (gathered.length === 0) return changes;
  const many = new Set(gathered.flat());
  const groups = gathered.flatMap((group) => [...Map.groupBy(group, (one) => `${one.old} ${one.new}`).values()]);
  return [
    ...changes.filter((change) => !many.has(change)),
    ...groups.sort((a, b) => b.length - a.length).map(modesReason),
  ];
}

function modesReason(group: readonly PathReason[]): Reason {
  const [first] = group;
  if (first === undefined) throw new Error('internal error: a group of no paths');
  if (group.length === 1) return first;
  const paths = group.map(({ path }) => path);
  return { kind: 'modes', count: group.length, old: first.old ?? '', new: first.new ?? '', paths };
}

function octal({ mode }: PathEntry): string {
  return mode.toString(8).padStart(4, '0');
}

function shown(path: string): string {
  return path === '/' ? '/' : path.slice(1);
}
