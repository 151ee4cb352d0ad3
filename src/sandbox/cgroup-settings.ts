// What is written into a step's cgroups for its limits, in the words of version 1 and of the unified tree.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { codeOf } from '../sys/error-code.ts';
import type { Controller, ControllerPlace } from './cgroup-host.ts';
import type { ResourceLimits } from './cgroup-limits.ts';
import { readText } from './sandbox-host.ts';

const DEFAULT_PERIOD_US = 100_000;

/** Writes the limits; `dirs` are the step's own by the directory they are in. Throws TSB_SANDBOX_CGROUP_FAILED. */
export function applyLimits(
  limits: ResourceLimits,
  places: ReadonlyMap<Controller, ControllerPlace>,
  dirs: ReadonlyMap<string, string>,
): void {
  for (const { controller, file, value, isOptional } of settings(limits, places)) {
    const dir = dirs.get(places.get(controller)?.dir ?? '');
    if (dir === undefined) continue;
    if (file === 'cpuset.cpus') inheritNodes(dir);
    const files = [file].flat();
    const present = files.find((name) => existsSync(join(dir, name))) ?? files[0] ?? '';
    write(join(dir, present), value, isOptional === true);
  }
}

/** Has the children of a cgroup of the unified tree use a controller. Throws TSB_SANDBOX_CGROUP_FAILED. */
export function enable(dir: string, controller: Controller): void {
  const enabled = (readText(join(dir, 'cgroup.subtree_control')) ?? '').split(/\s+/);
  if (!enabled.includes(controller)) write(join(dir, 'cgroup.subtree_control'), `+${controller}`, false);
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
