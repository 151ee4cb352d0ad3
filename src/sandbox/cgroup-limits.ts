// Limits of a step: a cgroup of its own, made before the step starts and removed when it has ended.
//
// Its name tells which process made it, so that the next one can remove what a killed one left. The step's keeper joins
// it before it starts the command, so nothing of the command ever runs outside.
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { TsbuildError } from '../../solver/errors.ts';
import { currentProcess, isAbandoned, temporaryPrefix } from '../store/owners.ts';
import { codeOf } from '../sys/error-code.ts';
import { type CgroupHost, type Controller, type ControllerPlace, readCgroupHost } from './cgroup-host.ts';
import { readText } from './sandbox-host.ts';

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
/** A cgroup that is not empty by then stays; the next sweep takes it. */
const EMPTY_MS = 1000;
const EMPTY_POLL_MS = 5;
const DEFAULT_PERIOD_US = 100_000;

/** The controllers that the limits need. */
function neededControllers(limits: ResourceLimits): readonly Controller[] {
  const { memoryBytes, memorySwapBytes, cpuShares, cpuQuotaUs, cpusetCpus, pidsLimit, ioWeight } = limits;
  const needed: readonly (readonly [Controller, boolean])[] = [
    ['memory', memoryBytes !== undefined || memorySwapBytes !== undefined],
    ['cpu', cpuShares !== undefined || cpuQuotaUs !== undefined],
    ['cpuset', cpusetCpus !== undefined],
    ['pids', pidsLimit !== undefined],
    ['io', ioWeight !== undefined],
  ];
  return needed.filter(([, isNeeded]) => isNeeded).map(([controller]) => controller);
}

/** Throws TSB_SANDBOX_CGROUP_MISSING, naming the controller. */
export function checkControllers(limits: ResourceLimits, host: CgroupHost): void {
  for (const controller of neededControllers(limits)) {
    const reason = host.missing.get(controller);
    if (reason === undefined) continue;
    const hint =
      host.layout === 'v2'
        ? 'leave out the limit, or start it with: systemd-run --user --scope -p Delegate=yes tsbuild …'
        : 'leave out the limit, or build as root';
    throw new TsbuildError(
      'TSB_SANDBOX_CGROUP_MISSING',
      `the cgroup controller ${controller} cannot be used: ${reason}`,
      {
        hint,
      },
    );
  }
}

/** Makes the cgroups of one executor. */
export class StepCgroups {
  readonly #host = readCgroupHost();
  readonly #prefix = cgroupPrefix();
  #count = 0;
  #isSwept = false;

  /** The caller removes it. Throws TSB_SANDBOX_CGROUP_MISSING and TSB_SANDBOX_CGROUP_FAILED. */
  make(limits: ResourceLimits): StepCgroup {
    checkControllers(limits, this.#host);
    this.sweep();
    return new StepCgroup(`${this.#prefix}${this.#count++}`, placesOf(limits, this.#host), limits);
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

/** Prefix of the names of this process's cgroups. */
export function cgroupPrefix(): string {
  return `${PREFIX}${temporaryPrefix(currentProcess())}`;
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

  constructor(name: string, places: ReadonlyMap<Controller, ControllerPlace>, limits: ResourceLimits) {
    this.#limits = limits;
    this.#places = places;
    this.dirs = new Map([...places.values()].map(({ dir }) => [dir, join(dir, name)]));
    try {
      for (const [controller, { version, dir }] of places) if (version === 2) enable(dir, controller);
      for (const dir of this.dirs.values()) mkdirSync(dir);
      this.#apply();
    } catch (error) {
      for (const dir of this.dirs.values()) removeCgroup(dir);
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
    const until = performance.now() + EMPTY_MS;
    for (const dir of this.dirs.values()) {
      while (!removeCgroup(dir) && performance.now() < until) await setTimeout(EMPTY_POLL_MS);
    }
  }

  #apply(): void {
    for (const { controller, file, value, isOptional } of settings(this.#limits, this.#places)) {
      const dir = this.dirs.get(this.#places.get(controller)?.dir ?? '');
      if (dir === undefined) continue;
      if (file === 'cpuset.cpus') inheritNodes(dir);
      const files = [file].flat();
      const present = files.find((name) => existsSync(join(dir, name))) ?? files[0] ?? '';
      write(join(dir, present), value, isOptional === true);
    }
  }
}

interface Setting {
  readonly controller: Controller;
  /** The first of these that is there. */
  readonly file: string | readonly string[];
  readonly value: string;
  /** Kernels without swap accounting lack the file; a default is then no reason to fail. */
  readonly isOptional?: boolean;
}

function settings(limits: ResourceLimits, places: ReadonlyMap<Controller, ControllerPlace>): readonly Setting[] {
  const isUnified = (controller: Controller): boolean => places.get(controller)?.version === 2;
  const { cpuShares, cpusetCpus, pidsLimit, ioWeight } = limits;
  const list: Setting[] = [...memorySettings(limits, isUnified('memory')), ...quotaSettings(limits, isUnified('cpu'))];
  if (cpuShares !== undefined) {
    const weight = 1 + Math.floor(((Math.min(262144, Math.max(2, cpuShares)) - 2) * 9999) / 262142);
    list.push(
      isUnified('cpu')
        ? { controller: 'cpu', file: 'cpu.weight', value: String(weight) }
        : { controller: 'cpu', file: 'cpu.shares', value: String(cpuShares) },
    );
  }
  if (cpusetCpus !== undefined) list.push({ controller: 'cpuset', file: 'cpuset.cpus', value: cpusetCpus });
  // The keeper is in there too.
  if (pidsLimit !== undefined)
    list.push({ controller: 'pids', file: 'pids.max', value: pidsLimit > 0 ? String(pidsLimit + 1) : 'max' });
  if (ioWeight !== undefined) list.push(ioSetting(ioWeight, isUnified('io')));
  return list;
}

/** Only the scheduler bfq has weights in the version 1 tree; in the unified one others may. */
function ioSetting(weight: number, isUnified: boolean): Setting {
  const value = String(weight);
  const file = isUnified ? ['io.bfq.weight', 'io.weight'] : ['blkio.bfq.weight', 'blkio.weight'];
  return { controller: 'io', file, value };
}

function memorySettings({ memoryBytes, memorySwapBytes }: ResourceLimits, isUnified: boolean): readonly Setting[] {
  if (memoryBytes === undefined) return [];
  const isOptional = memorySwapBytes === undefined;
  const both = memorySwapBytes ?? memoryBytes * 2;
  const [limitFile, swapFile] = isUnified
    ? ['memory.max', 'memory.swap.max']
    : ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'];
  const swap = both < 0 ? (isUnified ? 'max' : '-1') : String(isUnified ? both - memoryBytes : both);
  return [
    { controller: 'memory', file: limitFile, value: String(memoryBytes) },
    { controller: 'memory', file: swapFile, value: swap, isOptional },
  ];
}

function quotaSettings(
  { cpuQuotaUs, cpuPeriodUs = DEFAULT_PERIOD_US }: ResourceLimits,
  isUnified: boolean,
): readonly Setting[] {
  if (cpuQuotaUs === undefined) return [];
  const controller = 'cpu';
  if (isUnified) return [{ controller, file: 'cpu.max', value: `${cpuQuotaUs} ${cpuPeriodUs}` }];
  return [
    { controller, file: 'cpu.cfs_period_us', value: String(cpuPeriodUs) },
    { controller, file: 'cpu.cfs_quota_us', value: String(cpuQuotaUs) },
  ];
}

/** A new cpuset of version 1 has no memory nodes, and no process can enter it. */
function inheritNodes(dir: string): void {
  const nodes = readText(join(dir, '..', 'cpuset.mems'))?.trim();
  if (nodes !== undefined && readText(join(dir, 'cpuset.mems'))?.trim() === '')
    write(join(dir, 'cpuset.mems'), nodes, true);
}

function enable(dir: string, controller: Controller): void {
  const enabled = (readText(join(dir, 'cgroup.subtree_control')) ?? '').split(/\s+/);
  if (!enabled.includes(controller)) write(join(dir, 'cgroup.subtree_control'), `+${controller}`, false);
}

function write(path: string, value: string, isOptional: boolean): void {
  try {
    writeFileSync(path, value);
  } catch (error) {
    if (isOptional) return;
    throw new TsbuildError(
      'TSB_SANDBOX_CGROUP_FAILED',
      `the limit ${value} cannot be set: ${path}: ${codeOf(error) ?? ''}`,
      {
        hint: 'the value may be more than this machine or the cgroup around has',
        cause: error,
      },
    );
  }
}

/** One that is still in use, or gone, is left alone; false: it is in use. */
function removeCgroup(dir: string): boolean {
  try {
    rmdirSync(dir);
  } catch (error) {
    // The next process that sweeps tries again.
    return codeOf(error) !== 'EBUSY';
  }
  return true;
}
