// The cgroups of a run through an OCI runtime. The runtime makes its own, sets the limits there and removes it before anybody
// can ask what happened in it; so with a limit of memory it is made inside one that is kept until then.
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { hasEvents, makeEventCount } from '../sys/event-count.ts';
import { type ControllerPlace, readCgroupHost, readTrees } from './cgroup-host.ts';
import { type MemoryKill, removeAbandoned, type ResourceLimits, StepCgroup } from './cgroup-limits.ts';

const TOP = '/sys/fs/cgroup';

/** Where a runtime makes the cgroups of its runs. */
export interface RuntimePlace {
  /** What the runtime is told, in front of a run's name. */
  readonly prefix: string;
  /** Where a cgroup around them can be made; undefined: nowhere. */
  readonly memory: ControllerPlace | undefined;
}

/**
 * In trees of version 1 below the own cgroups, whose limits hold for the steps too. A path that does not begin with a slash is
 * looked for there; crun looks for all paths from the top, which will do where the own cgroups have one name in every tree.
 * Elsewhere, and in the unified tree, where a namespace of its own makes a container's cgroup the top, it is the top.
 */
export function findRuntimePlace(
  runtime: string,
  mountinfo: string = readFileSync('/proc/self/mountinfo', 'utf8'),
  ownCgroups: string = readFileSync('/proc/self/cgroup', 'utf8'),
): RuntimePlace {
  const all = readTrees(mountinfo, ownCgroups);
  const hasFirst = all.some(({ version, controllers }) => version === 1 && controllers.includes('memory'));
  const names = new Set(all.map(({ own, mountPoint }) => own.slice(mountPoint.length).replace(/\/$/, '')));
  const isRelative = !basename(runtime).includes('crun');
  if (hasFirst && all.every(({ isSeen }) => isSeen) && (isRelative || names.size === 1)) {
    const [name = ''] = names;
    return { prefix: isRelative ? '' : `${name}/`, memory: readCgroupHost(mountinfo, ownCgroups).usable.get('memory') };
  }
  const ownAtTop = ownCgroups.replaceAll(/^(\d+:[^:]*:).*$/gm, '$1/');
  return { prefix: '/', memory: readCgroupHost(mountinfo, ownAtTop).usable.get('memory') };
}
/**
 * By so much less the outer cgroup of version 1 comes to its limit first, which is where events are told; more than the
 * kernel takes at a time where it cannot do without.
 */
const OUTER_MARGIN_BYTES = 16 * 4096;

/** Undefined where the runtime's own cgroup will do: nothing is asked of it, or it is the runtime's to find a place for it. */
export function openRuntimeCgroup(
  id: string,
  place: RuntimePlace,
  limits: ResourceLimits | undefined,
): RuntimeCgroup | undefined {
  if (limits?.memoryBytes === undefined || place.memory === undefined) return undefined;
  return new RuntimeCgroup(id, place.memory, limits.memoryBytes, limits.memorySwapBytes);
}

/** The caller closes it, and removes the directories, when the runtime has ended. */
class RuntimeCgroup {
  readonly #memoryBytes: number;
  readonly #outer: StepCgroup;
  /** Counts the times that memory ran out; version 1 only. */
  readonly #eventFd: number | undefined;

  constructor(id: string, { version, dir }: ControllerPlace, memoryBytes: number, memorySwapBytes: number | undefined) {
    this.#memoryBytes = memoryBytes;
    const less = (bytes: number): number => (version === 2 || bytes < 0 ? bytes : bytes - OUTER_MARGIN_BYTES);
    const swap = memorySwapBytes === undefined ? {} : { memorySwapBytes: less(memorySwapBytes) };
    const limits = { memoryBytes: less(memoryBytes), ...swap };
    this.#outer = new StepCgroup(id, new Map([['memory', { version, dir }]]), limits);
    this.#eventFd = version === 1 ? watchMemory(join(dir, id)) : undefined;
  }

  /** What the kernel did for lack of memory, once the runtime has ended. */
  memoryKill(): MemoryKill | undefined {
    if (this.#eventFd === undefined) return this.#outer.memoryKill();
    if (!hasEvents(this.#eventFd)) return undefined;
    const [dir = ''] = this.#outer.dirs.values();
    const peak = Number.parseInt(readFileSync(join(dir, 'memory.max_usage_in_bytes'), 'utf8'), 10);
    return { limitBytes: this.#memoryBytes, peakBytes: Number.isNaN(peak) ? undefined : peak };
  }

  close(): void {
    if (this.#eventFd !== undefined) closeSync(this.#eventFd);
  }
}

/** All directories that a run of that name may leave in the trees, inner ones first. */
export function runtimeCgroupDirs(id: string): readonly string[] {
  return trees().flatMap((tree) => [join(tree, id, id), join(tree, id)]);
}

/** Removes what runtimes of dead processes left. */
export function sweepRuntimeCgroups(): void {
  removeAbandoned(trees());
}

/** Where runtimes make cgroups: at the top of every tree, or in the own cgroup there. */
function trees(): readonly string[] {
  const own = readTrees().map(({ own: dir }) => dir);
  const names = existsSync(TOP) ? readdirSync(TOP, { withFileTypes: true }).filter((entry) => entry.isDirectory()) : [];
  const dirs = new Set([...own, TOP, ...names.map(({ name }) => join(TOP, name))]);
  return [...dirs].filter((dir) => existsSync(join(dir, 'cgroup.procs')));
}

/** A descriptor that counts how often the cgroup ran out of memory; undefined where the kernel does not tell. */
function watchMemory(dir: string): number | undefined {
  const eventFd = makeEventCount();
  if (eventFd === undefined) return undefined;
  try {
    const controlFd = openSync(join(dir, 'memory.oom_control'), 'r');
    try {
      writeFileSync(join(dir, 'cgroup.event_control'), `${eventFd} ${controlFd}`);
    } finally {
      closeSync(controlFd);
    }
    return eventFd;
  } catch {
    closeSync(eventFd);
    return undefined;
  }
}
