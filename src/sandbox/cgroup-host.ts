// The cgroups of this machine as far as this process may use them: version 1 trees, the unified one, or both.
import { accessSync, constants, existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { readText } from './sandbox-host.ts';

/** A kind of resource that steps can be limited in. */
export type Controller = 'memory' | 'cpu' | 'cpuset' | 'pids' | 'io';

/** All there are, in the order they are reported. */
export const CONTROLLERS: readonly Controller[] = ['memory', 'cpu', 'cpuset', 'pids', 'io'];

/** A directory in which a process's cgroup can be made with that controller. */
export interface ControllerPlace {
  readonly version: 1 | 2;
  readonly dir: string;
}

/** Each of CONTROLLERS is either usable or missing. */
export interface CgroupHost {
  readonly layout: 'v1' | 'v2' | 'hybrid' | 'none';
  /** Where each usable controller is. */
  readonly usable: ReadonlyMap<Controller, ControllerPlace>;
  /** Why each of the others is not. */
  readonly missing: ReadonlyMap<Controller, string>;
}

/** One of the trees that are mounted here. */
interface CgroupTree {
  readonly version: 1 | 2;
  /** Controllers of a version 1 tree. */
  readonly controllers: readonly string[];
  readonly mountPoint: string;
  /** This process's own cgroup. */
  readonly own: string;
  /** False where that cannot be seen from here and the mount's own root stands for it. */
  readonly isSeen: boolean;
}

/** What the kernel says of this process; the files' texts are parameters for tests. */
export function readCgroupHost(
  mountinfo: string = readText('/proc/self/mountinfo') ?? '',
  ownCgroups: string = readText('/proc/self/cgroup') ?? '',
): CgroupHost {
  const trees = readTrees(mountinfo, ownCgroups);
  const usable = new Map<Controller, ControllerPlace>();
  const missing = new Map<Controller, string>();
  for (const controller of CONTROLLERS) {
    const place = findPlace(controller, trees);
    if (typeof place === 'string') missing.set(controller, place);
    else usable.set(controller, place);
  }
  return { layout: layoutOf(trees), usable, missing };
}

function layoutOf(trees: readonly CgroupTree[]): CgroupHost['layout'] {
  const hasFirst = trees.some(({ version, controllers }) => version === 1 && !controllers.some(isNamed));
  const hasUnified = trees.some(({ version }) => version === 2);
  if (hasFirst) return hasUnified ? 'hybrid' : 'v1';
  return hasUnified ? 'v2' : 'none';
}

function isNamed(controller: string): boolean {
  return controller.startsWith('name=');
}

/** All trees; the files' texts are parameters for tests. */
export function readTrees(
  mountinfo: string = readText('/proc/self/mountinfo') ?? '',
  ownCgroups: string = readText('/proc/self/cgroup') ?? '',
): readonly CgroupTree[] {
  const own = new Map<string, string>();
  for (const line of ownCgroups.trim().split('\n')) {
    const [, names = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    for (const name of names.split(',')) own.set(name, path);
  }
  const trees: CgroupTree[] = [];
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , root = '/', mountPoint = ''] = left.split(' ');
    const [type, , options = ''] = right.split(' ');
    const controllers = type === 'cgroup2' ? [''] : options.split(',').filter((option) => own.has(option));
    if ((type !== 'cgroup' && type !== 'cgroup2') || controllers.length === 0) continue;
    const inside = insideMount(root, own.get(controllers[0] ?? '') ?? '/');
    const dir = join(mountPoint, inside ?? '/');
    const isSeen = inside !== undefined && existsSync(dir);
    trees.push({
      version: type === 'cgroup2' ? 2 : 1,
      controllers,
      mountPoint,
      own: isSeen ? dir : mountPoint,
      isSeen,
    });
  }
  return trees;
}

/** A mount may show a part of the tree only; undefined for what lies outside of it. */
function insideMount(root: string, path: string): string | undefined {
  if (root === '/' || path === root) return root === '/' ? path : '/';
  return path.startsWith(`${root}/`) ? path.slice(root.length) : undefined;
}

function findPlace(controller: Controller, trees: readonly CgroupTree[]): ControllerPlace | string {
  const firstName = controller === 'io' ? 'blkio' : controller;
  const first = trees.find(({ version, controllers }) => version === 1 && controllers.includes(firstName));
  if (first !== undefined) {
    return isWritable(first.own) ? { version: 1, dir: first.own } : `this user may not write to ${first.own}`;
  }
  const unified = trees.find(({ version }) => version === 2);
  return unified === undefined ? 'no mounted cgroup tree has it' : findDelegated(controller, unified);
}

/** The nearest directory above the own cgroup in which a sibling can be made: processes live in leaves only. */
function findDelegated(controller: Controller, { own: seen, mountPoint }: CgroupTree): ControllerPlace | string {
  // Without the slash that the mount's own root has at its end.
  const own = resolve(seen);
  const offered = readText(join(mountPoint, 'cgroup.controllers')) ?? '';
  if (!offered.split(/\s+/).includes(controller)) return 'the kernel does not offer it in the unified tree';
  // The kernel shares nothing out to cgroups inside one that has processes, but for the root of all.
  if (own === mountPoint && existsSync(join(own, 'cgroup.type'))) {
    return `this process is in the topmost cgroup that can be seen (${own}), which is not the machine's and has to be left first`;
  }
  for (let dir = own === mountPoint ? own : dirname(own); dir.startsWith(mountPoint); dir = dirname(dir)) {
    const available = (readText(join(dir, 'cgroup.controllers')) ?? '').split(/\s+/);
    if (available.includes(controller) && isWritable(dir) && isWritable(join(dir, 'cgroup.procs'))) {
      return { version: 2, dir };
    }
  }
  return `no cgroup around ${own} that has it may be written by this user (not delegated)`;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
