// What is written into a step's cgroups for its limits, in the words of version 1 and of the unified tree.
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
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
  for (const setting of settings(limits, places)) {
    const { controller, file } = setting;
    const place = places.get(controller);
    const dir = dirs.get(place?.dir ?? '');
    if (place === undefined || dir === undefined) continue;
    if (controller === 'cpuset' && place.version === 1) inheritCpuset(dir);
    const files = [file].flat();
    const present = files.find((name) => existsSync(join(dir, name))) ?? files[0] ?? '';
    write(join(dir, present), setting);
  }
}

/** Has the children of a cgroup of the unified tree use a controller. Throws TSB_SANDBOX_CGROUP_FAILED. */
export function enable(dir: string, controller: Controller): void {
  const enabled = (readText(join(dir, 'cgroup.subtree_control')) ?? '').split(/\s+/);
  if (enabled.includes(controller)) return;
  try {
    writeFileSync(join(dir, 'cgroup.subtree_control'), `+${controller}`);
  } catch (cause) {
    const message = `the cgroup controller ${controller} cannot be given to cgroups in ${dir}: ${codeOf(cause) ?? ''}`;
    throw new TsbuildError('TSB_SANDBOX_CGROUP_FAILED', message, { hint: 'leave out the limits', cause });
  }
}

interface Setting {
  readonly controller: Controller;
  /** The first of these that is there. */
  readonly file: string | readonly string[];
  readonly value: string;
  /** As the user would write it. */
  readonly asked: string;
  /** Kernels without swap accounting lack the file; a default is then no reason to fail. */
  readonly isOptional?: boolean;
}

function settings(limits: ResourceLimits, places: ReadonlyMap<Controller, ControllerPlace>): readonly Setting[] {
  const isUnified = (controller: Controller): boolean => places.get(controller)?.version === 2;
  const { cpuShares, cpusetCpus, cpusetMems, pidsLimit, ioWeight } = limits;
  const list: Setting[] = [...memorySettings(limits, isUnified('memory')), ...quotaSettings(limits, isUnified('cpu'))];
  if (cpuShares !== undefined) {
    const weight = 1 + Math.floor(((Math.min(262144, Math.max(2, cpuShares)) - 2) * 9999) / 262142);
    const [file, value] = isUnified('cpu') ? ['cpu.weight', weight] : ['cpu.shares', cpuShares];
    list.push({ controller: 'cpu', file, value: String(value), asked: `--cpu-shares ${cpuShares}` });
  }
  for (const [kind, value] of [['cpus', cpusetCpus] as const, ['mems', cpusetMems] as const]) {
    if (value === undefined) continue;
    list.push({ controller: 'cpuset', file: `cpuset.${kind}`, value, asked: `--cpuset-${kind} ${value}` });
  }
  if (pidsLimit !== undefined) {
    // The keeper is in there too.
    const value = pidsLimit > 0 ? String(pidsLimit + 1) : 'max';
    list.push({ controller: 'pids', file: 'pids.max', value, asked: `--pids-limit ${pidsLimit}` });
  }
  if (ioWeight !== undefined) list.push(ioSetting(ioWeight, isUnified('io')));
  return list;
}

/** Only the scheduler bfq has weights in the version 1 tree; in the unified one others may. */
function ioSetting(weight: number, isUnified: boolean): Setting {
  const value = String(weight);
  const file = isUnified ? ['io.bfq.weight', 'io.weight'] : ['blkio.bfq.weight', 'blkio.weight'];
  return { controller: 'io', file, value, asked: `--blkio-weight ${weight}` };
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
    { controller: 'memory', file: limitFile, value: String(memoryBytes), asked: `--memory ${memoryBytes}` },
    { controller: 'memory', file: swapFile, value: swap, asked: `--memory-swap ${both}`, isOptional },
  ];
}

function quotaSettings(
  { cpuQuotaUs, cpuPeriodUs = DEFAULT_PERIOD_US }: ResourceLimits,
  isUnified: boolean,
): readonly Setting[] {
  if (cpuQuotaUs === undefined) return [];
  const asked = `--cpus ${cpuQuotaUs / cpuPeriodUs} (--cpu-quota ${cpuQuotaUs})`;
  const controller = 'cpu';
  if (isUnified) return [{ controller, file: 'cpu.max', value: `${cpuQuotaUs} ${cpuPeriodUs}`, asked }];
  return [
    { controller, file: 'cpu.cfs_period_us', value: String(cpuPeriodUs), asked: `--cpu-period ${cpuPeriodUs}` },
    { controller, file: 'cpu.cfs_quota_us', value: String(cpuQuotaUs), asked },
  ];
}

/** A new cpuset of version 1 has neither processors nor memory nodes, and no process can enter it. */
function inheritCpuset(dir: string): void {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    const [inherited, own] = [join(dir, '..', name), join(dir, name)].map((path) => readText(path)?.trim());
    if (inherited === undefined || own !== '') continue;
    try {
      writeFileSync(join(dir, name), inherited);
    } catch {
      // The step's entering says what is missing.
    }
  }
}

function write(path: string, { value, asked, isOptional, controller }: Setting): void {
  try {
    writeFileSync(path, value);
  } catch (cause) {
    if (isOptional) return;
    const isUnknown = !existsSync(path);
    const reason = isUnknown ? `the kernel has no such limit here (${path})` : `the kernel says ${codeOf(cause) ?? ''}`;
    const hint = isUnknown ? UNKNOWN_HINTS[controller] : hintAbout(controller, dirname(path));
    throw new TsbuildError('TSB_SANDBOX_CGROUP_FAILED', `${asked} cannot be set: ${reason}`, {
      hint: hint ?? 'leave out the limit',
      cause,
    });
  }
}

const UNKNOWN_HINTS: Readonly<Partial<Record<Controller, string>>> = {
  io: 'weights take the disk scheduler bfq; or leave out --blkio-weight',
  memory: 'boot with swapaccount=1 to count swap; or leave out --memory-swap',
};

/** In version 1 the kernel refuses more of a processor's time than a cgroup around has. */
function hintAbout(controller: Controller, dir: string): string {
  const read = (from: string, name: string): number => Number(readText(join(from, name)) ?? '-1');
  for (let around = dirname(dir); controller === 'cpu' && around !== dirname(around); around = dirname(around)) {
    const quota = read(around, 'cpu.cfs_quota_us');
    if (quota > 0)
      return `the cgroup around has ${quota / read(around, 'cpu.cfs_period_us')} processors: ask for no more`;
  }
  return 'the value may be more than this machine or the cgroup around has';
}
