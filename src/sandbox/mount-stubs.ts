// Mount points inside a root filesystem: where each mount really goes, what must be made for it to go there, and the
// removal of what was made, so that a step's layer does not show its mounts.
//
// The init makes the stubs, on the mounted overlay and before anything is mounted over it; it also sets their parents'
// times back. After the step they are removed from the upper directory unless the step filled them. Empty /dev, /proc
// and /sys stay, as they do under BuildKit.
import { lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimesNs } from '../sys/libc.ts';
import type { StackLookup } from './stack-lookup.ts';

/** Something to be mounted at a path. */
export interface MountRequest {
  /** As the Dockerfile or the sandbox says it; links are followed inside the stack. */
  readonly dest: string;
  readonly type: 'dir' | 'file';
  /** The stub stays after the step. */
  readonly keep?: boolean;
}

interface MountStub {
  readonly path: string;
  readonly type: 'dir' | 'file';
  readonly keep: boolean;
}

/** Where the request really goes: no component of `path` is a link, but for those below `boundary`. */
export interface MountTarget {
  readonly path: string;
  readonly type: 'dir' | 'file';
  /** An earlier mount's target that this one lies in; the rest of the path is made there when missing. */
  readonly boundary: string | undefined;
}

/** What is made before the mounts, and taken away after the step. */
export interface MountPlan {
  /** One per request, in the same order. */
  readonly targets: readonly MountTarget[];
  /** Parents come before what is in them. */
  readonly stubs: readonly MountStub[];
  /** Directories whose times the stubs change, as they are before. */
  readonly parents: readonly { readonly path: string; readonly atimeNs: bigint; readonly mtimeNs: bigint }[];
}

/** Plans the mounts in the order they will be made. */
export function planMounts(stack: StackLookup, requests: readonly MountRequest[]): MountPlan {
  const boundaries = new Set<string>();
  const planned = new Map<string, MountStub>();
  const targets: MountTarget[] = [];
  for (const { dest, type, keep } of requests) {
    const known = new Set(planned.keys());
    const { path, missing, boundary } = stack.resolve(dest, { boundaries, planned: known });
    for (const stub of missing) {
      planned.set(stub, { path: stub, type: stub === path ? type : 'dir', keep: keep === true });
    }
    targets.push({ path, type, boundary });
    boundaries.add(path);
  }
  const stubs = [...planned.values()];
  return { targets, stubs, parents: parentTimes(stack, stubs) };
}

function parentTimes(stack: StackLookup, stubs: readonly MountStub[]): MountPlan['parents'] {
  const paths = new Set(stubs.filter((stub) => !stub.keep).map((stub) => join(stub.path, '..')));
  const parents: { path: string; atimeNs: bigint; mtimeNs: bigint }[] = [];
  for (const path of paths) {
    const entry = stack.entry(path);
    if (entry === undefined) continue;
    const { atimeNs, mtimeNs } = lstatSync(entry.hostPath, { bigint: true });
    parents.push({ path, atimeNs, mtimeNs });
  }
  return parents;
}

/** Removes the stubs that are still empty from an upper directory, keeping their parents' times. */
export function removeStubs(upperDir: string, stubs: readonly MountStub[]): void {
  for (const { path, type, keep } of stubs.toReversed()) {
    if (!keep && isInRealDirectories(upperDir, path)) removeStub(join(upperDir, path), type);
  }
}

function removeStub(hostPath: string, type: 'dir' | 'file'): void {
  const stat = lstatSync(hostPath, { throwIfNoEntry: false });
  if (stat === undefined) return;
  const isEmptyDir = type === 'dir' && stat.isDirectory() && readdirSync(hostPath).length === 0;
  const isEmptyFile = type === 'file' && stat.isFile() && stat.size === 0;
  if (!isEmptyDir && !isEmptyFile) return;
  const parent = join(hostPath, '..');
  const { atimeNs, mtimeNs } = lstatSync(parent, { bigint: true });
  if (isEmptyDir) rmdirSync(hostPath);
  else unlinkSync(hostPath);
  setTimesNs(parent, atimeNs, mtimeNs);
}

/** The step may have put a link where a parent was; nothing is ever removed through one. */
function isInRealDirectories(upperDir: string, path: string): boolean {
  let at = upperDir;
  for (const name of path.split('/').slice(1, -1)) {
    at = join(at, name);
    if (lstatSync(at, { throwIfNoEntry: false })?.isDirectory() !== true) return false;
  }
  return true;
}
