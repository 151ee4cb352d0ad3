// What an overlayfs upper directory changes in the stack below it, in the order and with the rules of BuildKit's overlay
// differ: a walk in byte order of names; whiteouts, and what an opaque directory hides, become one deletion each; an entry
// with the metadata and bytes of the one below is no change (a directory's time does not count); the parents of a change
// are reported once, before it, even when unchanged themselves.
import type { Stats } from 'node:fs';
import { hasEqualBytes } from '../snapshot/equal-bytes.ts';
import { isWhiteout, lstatPath, toFileNode } from '../snapshot/file-node.ts';
import type { FileNode } from '../snapshot/file-tree.ts';
import { hasOpaqueMark, type MergedDirectory, type RootView } from '../snapshot/root-view.ts';
import { baseName, joinPath } from '../snapshot/tree-path.ts';
import { getXattr } from '../sys/libc.ts';
import { readNames, sortNames } from '../sys/path-bytes.ts';

/** Paths are absolute in the tree; a deletion stands for everything below it. */
export type Change =
  | { readonly kind: 'add' | 'modify'; readonly path: string; readonly node: FileNode }
  | { readonly kind: 'delete'; readonly path: string };

/** A directory being walked. */
interface Frame {
  readonly path: string;
  readonly hostPath: string;
  readonly names: readonly string[];
  readonly lower: MergedDirectory | undefined;
  readonly isOpaque: boolean;
  next: number;
  isReported: boolean;
}

/** The changes of `upperDir` against the stack below. Sockets are left out; the root directory itself is never a change. */
export function* compareSnapshot(upperDir: string, lower: RootView): Generator<Change> {
  const frames = [openFrame('/', upperDir, lower, lower.directory('/'), false)];
  for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
    const name = frame.names[frame.next++];
    if (name === undefined) {
      frames.pop();
      continue;
    }
    const hostPath = `${frame.hostPath}/${name}`;
    const stats = lstatPath(hostPath);
    const below = frame.lower && lower.entry(frame.lower, name);
    const path = joinPath(frame.path, name);
    const change = changeOf(path, hostPath, stats, below);
    if (change !== undefined) {
      yield* unreportedParents(frames);
      yield change;
    }
    if (stats?.isDirectory()) {
      const child = below?.type === 'dir' && frame.lower !== undefined ? lower.child(frame.lower, name) : undefined;
      const opened = openFrame(path, hostPath, lower, child, frame.isOpaque);
      opened.isReported = change !== undefined;
      frames.push(opened);
    }
  }
}

function openFrame(
  path: string,
  hostPath: string,
  view: RootView,
  lower: MergedDirectory | undefined,
  isInOpaque: boolean,
): Frame {
  const own = readNames(hostPath);
  const isOpaque = lower !== undefined && (isInOpaque || (path !== '/' && hasOpaqueMark(hostPath)));
  const names = isOpaque ? withHidden(own, view, lower) : own;
  return { path, hostPath, names, lower, isOpaque, next: 0, isReported: path === '/' };
}

function withHidden(own: readonly string[], view: RootView, lower: MergedDirectory): string[] {
  const hidden = view.entries(lower).map(({ path }) => baseName(path));
  return sortNames([...new Set([...own, ...hidden])]);
}

function changeOf(
  path: string,
  hostPath: string,
  stats: Stats | undefined,
  below: FileNode | undefined,
): Change | undefined {
  if (stats === undefined || isWhiteout(stats) || stats.isSocket()) {
    return below === undefined ? undefined : { kind: 'delete', path };
  }
  if (below === undefined) return { kind: 'add', path, node: toFileNode(path, hostPath, stats) };
  const node = toFileNode(path, hostPath, stats);
  return isSame(below, node) ? undefined : { kind: 'modify', path, node };
}

function* unreportedParents(frames: readonly Frame[]): Generator<Change> {
  for (const frame of frames) {
    if (frame.isReported) continue;
    frame.isReported = true;
    const stats = lstatPath(frame.hostPath);
    if (stats === undefined) throw new Error(`internal error: directory vanished: ${frame.hostPath}`);
    yield { kind: 'modify', path: frame.path, node: toFileNode(frame.path, frame.hostPath, stats) };
  }
}

function isSame(a: FileNode, b: FileNode): boolean {
  if (a.dev === b.dev && a.ino === b.ino) return true;
  if (a.type !== b.type || a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return false;
  if (a.rdev.major !== b.rdev.major || a.rdev.minor !== b.rdev.minor) return false;
  if (a.type !== 'dir' && (a.size !== b.size || a.mtimeMs !== b.mtimeMs || a.linkTarget !== b.linkTarget)) return false;
  if (!hasEqualCapabilities(a, b)) return false;
  return a.type !== 'file' || hasEqualBytes(a, b);
}

function hasEqualCapabilities(a: FileNode, b: FileNode): boolean {
  if (a.type !== 'file' && a.type !== 'dir') return true;
  const [one, two] = [a, b].map((node) => getXattr(node.hostPath, 'security.capability') ?? Buffer.alloc(0));
  return one !== undefined && two !== undefined && one.equals(two);
}
