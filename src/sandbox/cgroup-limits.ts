// Limits of a step: a cgroup of its own, made before the step starts and removed when it has ended.
//
// The step's keeper joins it before it starts the command, so nothing of the command ever runs outside. A guard removes
// it when the builder is killed. Its name tells which process made it, so that what is left when even the guard is
// killed goes with the next builder.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { TsbuildError } from '../../solver/errors.ts';
import { currentProcess, isAbandoned, temporaryPrefix } from '../store/owners.ts';
import { codeOf } from '../sys/error-code.ts';
import type { CgroupGuard } from './cgroup-guard.ts';
import { type CgroupHost, type Controller, type ControllerPlace, readCgroupHost } from './cgroup-host.ts';
import { applyLimits, enable } from './cgroup-settings.ts';
import { checkCpuset } from './cpuset.ts';
import { readText } from './sandbox-host.ts';
import { isMachineRoot } from './user-namespace.ts';

/** What a step may use; what is absent is not limited. */
export interface ResourceLimits {
  readonly memoryBytes?: number;
  /** Memory and swap together; -1: as much swap as there is. Without it, twice the memory. */
  readonly memorySwapBytes?: number;
  /** Weight among others, 1024 being the usual one. */
  readonly cpuShares?: number;
  /** CPU time per period, both in microseconds. */
  readonly cpuQuotaUs?: number;
  readonly cpuPeriodUs?: number;
  /** Such as `0-2,4`. */
  readonly cpusetCpus?: string;
  /** Memory nodes, likewise. */
  readonly cpusetMems?: string;
  /** Processes and threads. */
  readonly pidsLimit?: number;
  /** Weight among others when reading and writing disks, 10 to 1000. */
  readonly ioWeight?: number;
}

/** A step that the kernel ended for lack of memory. */
export interface MemoryKill {
  readonly limitBytes: number;
  readonly peakBytes: number | undefined;
}

const PREFIX = 'tsbuild-';
/** A cgroup that is not empty by then is left to the guard. */
const EMPTY_MS = 1000;
const EMPTY_POLL_MS = 5;

/** The controllers that the limits need. */
function neededControllers(limits: ResourceLimits): readonly Controller[] {
  const { memoryBytes, memorySwapBytes, cpuShares, cpuQuotaUs, cpusetCpus, cpusetMems, pidsLimit, ioWeight } = limits;
  const needed: readonly (readonly [Controller, boolean])[] = [
    ['memory', memoryBytes !== undefined || memorySwapBytes !== undefined],
    ['cpu', cpuShares !== undefined || cpuQuotaUs !== undefined],
    ['cpuset', cpusetCpus !== undefined || cpusetMems !== undefined],
    ['pids', pidsLimit !== undefined],
    ['io', ioWeight !== undefined],
  ];
  return needed.filter(([, isNeeded]) => isNeeded).map(([controller]) => controller);
}

/** Throws TSB_SANDBOX_CGROUP_MISSING, naming the controller, and TSB_SANDBOX_CGROUP_FAILED, naming the flag. */
export function checkLimits(limits: ResourceLimits, host: CgroupHost): void {
  checkControllers(limits, host);
  checkCpuset(limits, host);
}

/** Throws TSB_SANDBOX_CGROUP_MISSING, naming the controller. */
export function checkControllers(limits: ResourceLimits, host: CgroupHost): void {
  for (const controller of neededControllers(limits)) {
    const reason = host.missing.get(controller);
    if (reason === undefined) continue;
    throw new TsbuildError(
      'TSB_SANDBOX_CGROUP_MISSING',
      `the cgroup controller ${controller} cannot be used: ${reason}`,
      { hint: `leave out the limit, or ${controllerFix(host.layout)}` },
    );
  }
}

function controllerFix(layout: CgroupHost['layout']): string {
  if (layout === 'v2') return 'start it with: systemd-run --user --scope -p Delegate=yes tsbuild …';
  if (!isMachineRoot()) return 'build as root';
  return layout === 'none'
    ? 'mount the cgroup file systems at /sys/fs/cgroup'
    : 'give it a cgroup tree with that controller that it may write to: in a container, run that privileged';
}

/** Starts what removes these directories when the builder is killed. */
type StartGuard = (dirs: readonly string[]) => CgroupGuard;

/** Makes the cgroups of one executor. */
export class StepCgroups {
  readonly #host = readCgroupHost();
  readonly #prefix = cgroupPrefix();
  #count = 0;
  #isSwept = false;

  /** The caller removes it. Throws TSB_SANDBOX_CGROUP_MISSING and TSB_SANDBOX_CGROUP_FAILED. */
  make(limits: ResourceLimits, startGuard?: StartGuard): StepCgroup {
    checkLimits(limits, this.#host);
    this.sweep();
    return new StepCgroup(`${this.#prefix}${this.#count++}`, placesOf(limits, this.#host), limits, startGuard);
  }

  /** Removes what dead processes left; done once. */
  sweep(): void {
    if (this.#isSwept) return;
    this.#isSwept = true;
    sweepCgroups(this.#host);
  }
}

/** Removes what dead processes left where this one could make cgroups. */
export function sweepCgroups({ usable }: CgroupHost = readCgroupHost()): void {
  removeAbandoned([...new Set([...usable.values()].map(({ dir }) => dir))]);
}

/** Prefix of the names of one executor's cgroups, another one each time. */
export function cgroupPrefix(): string {
  return `${PREFIX}${temporaryPrefix(currentProcess())}${randomBytes(4).readUInt32LE()}-`;
}

/** Removes what dead processes left in these directories. */
export function removeAbandoned(dirs: readonly string[]): void {
  const self = currentProcess();
  for (const dir of dirs) {
    for (const name of readdirSync(dir)) {
      if (name.startsWith(PREFIX) && isAbandoned(name.slice(PREFIX.length), self)) removeCgroup(join(dir, name));
    }
  }
}

/** In the unified tree there is one cgroup for all: it is made where every controller needed can be used. */
function placesOf(limits: ResourceLimits, host: CgroupHost): ReadonlyMap<Controller, ControllerPlace> {
  const places = new Map<Controller, ControllerPlace>();
  for (const controller of neededControllers(limits)) {
    const place = host.usable.get(controller);
    if (place !== undefined) places.set(controller, place);
  }
  const unified = [...places.values()].filter(({ version }) => version === 2).map(({ dir }) => dir);
  const [common] = unified.sort((a, b) => a.length - b.length);
  return new Map(
    [...places].map(([name, place]) => [name, place.version === 2 && common ? { ...place, dir: common } : place]),
  );
}

/** The cgroups of one step, one in each tree that its limits need. Whoever has it made removes it after the step. */
export class StepCgroup {
  /** Directories of the step by the directory they are in: one, or one per version 1 tree. */
  readonly dirs: ReadonlyMap<string, string>;
  readonly #limits: ResourceLimits;
  readonly #places: ReadonlyMap<Controller, ControllerPlace>;
  readonly #guard: CgroupGuard | undefined;

  constructor(
    name: string,
    places: ReadonlyMap<Controller, ControllerPlace>,
    limits: ResourceLimits,
    startGuard?: StartGuard,
  ) {
    this.#limits = limits;
    this.#places = places;
    this.dirs = new Map([...places.values()].map(({ dir }) => [dir, join(dir, name)]));
    const made: string[] = [];
    // Before there is anything to guard: the builder may be killed at any moment.
    this.#guard = startGuard?.([...this.dirs.values()]);
    try {
      for (const [controller, { version, dir }] of places) if (version === 2) enable(dir, controller);
      for (const dir of this.dirs.values()) {
        mkdirSync(dir);
        made.push(dir);
      }
      applyLimits(limits, places, this.dirs);
    } catch (error) {
      for (const dir of made) removeCgroup(dir);
      void this.#guard?.release();
      throw error;
    }
  }

  /** What the kernel did for lack of memory, once the step has ended. */
  memoryKill(): MemoryKill | undefined {
    const { memoryBytes } = this.#limits;
    const place = this.#places.get('memory');
    if (memoryBytes === undefined || place === undefined) return undefined;
    const read = (file: string): string => readText(join(this.dirs.get(place.dir) ?? '', file)) ?? '';
    const events = read(place.version === 2 ? 'memory.events' : 'memory.oom_control');
    if (!/^oom_kill [1-9]/m.test(events)) return undefined;
    const peak = Number.parseInt(read(place.version === 2 ? 'memory.peak' : 'memory.max_usage_in_bytes'), 10);
    return { limitBytes: memoryBytes, peakBytes: Number.isNaN(peak) ? undefined : peak };
  }

  /** Waits a moment for processes that are just coming to their end. */
  async remove(): Promise<void> {
    await removeGuarded([...this.dirs.values()], this.#guard);
  }
}

/** Removes cgroups that are done with. If their processes do not come to an end within a moment, the guard stays. */
export async function removeGuarded(dirs: readonly string[], guard: CgroupGuard | undefined): Promise<void> {
  const until = performance.now() + EMPTY_MS;
  let isGone = true;
  for (const dir of dirs) {
    let isRemoved = removeCgroup(dir);
    while (!isRemoved && performance.now() < until) {
      await setTimeout(EMPTY_POLL_MS);
      isRemoved = removeCgroup(dir);
    }
    isGone &&= isRemoved;
  }
  if (isGone) await guard?.release();
}

/** One that is still in use, or gone, is left alone; false: it is in use. */
function removeCgroup(dir: string): boolean {
  try {
    rmdirSync(dir);
  } catch (error) {
    if (codeOf(error) !== 'EBUSY') return true;
    // A step with the right to do so may have made some inside.
    const inner = innerCgroups(dir);
    return inner.length > 0 && inner.every(removeCgroup) && removeCgroup(dir);
  }
  return true;
}

function innerCgroups(dir: string): readonly string[] {
  try {
    const entries = readdirSync(dir, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [join(dir, entry.name)] : []));
  } catch {
    return []; // Another process was faster.
  }
}
