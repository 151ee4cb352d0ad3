// The flags that limit what a step may use and do, of `build` and `run` alike.
import { cpus } from 'node:os';
import { type Command, Option } from 'commander';
import type { ResourceLimits } from '../sandbox/cgroup-limits.ts';
import { parseCpuset } from '../sandbox/cpuset.ts';
import { readSize } from './flag-values.ts';
import { addToList } from './list-flag.ts';
import { usageError } from './usage-error.ts';

/** What commander hands over. */
export interface RawLimitFlags {
  readonly memory?: string;
  readonly memorySwap?: string;
  readonly cpuShares?: string;
  readonly cpus?: string;
  readonly cpuQuota?: string;
  readonly cpuPeriod?: string;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly pidsLimit?: string;
  readonly blkioWeight?: string;
  readonly securityOpt?: readonly string[];
  readonly userns?: string;
}

/** The command with the flags added. */
export function addLimits(command: Command): Command {
  return command
    .option('-m, --memory <size>', 'most memory of a step, such as 512m')
    .option('--memory-swap <size>', 'most memory and swap together; -1: no limit for swap (default: twice the memory)')
    .option('-c, --cpu-shares <n>', 'weight of a step among others (usual: 1024)')
    .option('--cpus <n>', 'processors a step may use, such as 1.5')
    .option('--cpu-quota <us>', 'microseconds of CPU time a step may use per period')
    .option('--cpu-period <us>', 'length of that period (default: 100000)')
    .option('--cpuset-cpus <list>', 'the processors a step runs on, such as 0-2,4')
    .option('--cpuset-mems <list>', 'the memory nodes a step uses, such as 0,1')
    .option('--pids-limit <n>', 'most processes and threads of a step; -1: no limit')
    .option('--blkio-weight <n>', 'weight of a step among others that use a disk, 10 to 1000')
    .option('--security-opt <option>', 'seccomp=FILE, seccomp=unconfined, no-new-privileges', addToList)
    .addOption(
      new Option('--userns [=mode]', 'run the steps in a user namespace, as root too: auto, or host for none').preset(
        'auto',
      ),
    );
}

const LEAST_MEMORY = 6 * 1024 * 1024;
const PERIOD_US = 100_000;
/** What the kernel takes; runtimes refuse other shares, which the kernel alone would bring into this range. */
const SHARES = [2, 262_144] as const;
const PERIODS_US = [1000, 1_000_000] as const;
const QUOTAS_US = [1000, 2 ** 44 - 1] as const;
/** One less than the kernel's most: the process that keeps the step counts too. */
const PIDS = [-1, 2 ** 22 - 1] as const;
const WEIGHTS = [10, 1000] as const;

/** Of this machine; asked only when it matters. */
const countProcessors = (): number => cpus().length;

/** Undefined when nothing is limited. Throws TSB_USAGE_LIMIT and TSB_USAGE_SIZE. */
export function readLimits(flags: RawLimitFlags, processors = countProcessors): ResourceLimits | undefined {
  const { memory, cpuShares, cpusetCpus, cpusetMems, pidsLimit, blkioWeight } = flags;
  const memoryBytes = memory === undefined ? undefined : readSize('--memory', memory);
  if (memoryBytes !== undefined && memoryBytes < LEAST_MEMORY) {
    throw usageError('LIMIT', `invalid --memory "${memory}": a step needs 6m at least`);
  }
  const limits: ResourceLimits = {
    ...(memoryBytes !== undefined && { memoryBytes }),
    ...readSwap(flags, memoryBytes),
    ...(cpuShares !== undefined && { cpuShares: readCount('--cpu-shares', cpuShares, SHARES) }),
    ...readQuota(flags, processors),
    ...(cpusetCpus !== undefined && { cpusetCpus: readList('--cpuset-cpus', cpusetCpus) }),
    ...(cpusetMems !== undefined && { cpusetMems: readList('--cpuset-mems', cpusetMems) }),
    ...(pidsLimit !== undefined && { pidsLimit: readCount('--pids-limit', pidsLimit, PIDS) }),
    ...(blkioWeight !== undefined && { ioWeight: readCount('--blkio-weight', blkioWeight, WEIGHTS) }),
  };
  return Object.keys(limits).length === 0 ? undefined : limits;
}

function readSwap({ memorySwap }: RawLimitFlags, memoryBytes: number | undefined): Partial<ResourceLimits> {
  if (memorySwap === undefined) return {};
  if (memoryBytes === undefined) {
    throw usageError('LIMIT', '--memory-swap needs --memory', 'it is the limit of memory and swap together');
  }
  const memorySwapBytes = memorySwap === '-1' ? -1 : readSize('--memory-swap', memorySwap);
  if (memorySwapBytes >= 0 && memorySwapBytes < memoryBytes) {
    throw usageError('LIMIT', `invalid --memory-swap "${memorySwap}": less than --memory, which is part of it`);
  }
  return { memorySwapBytes };
}

function readQuota(
  { cpus: count, cpuQuota, cpuPeriod }: RawLimitFlags,
  processors: () => number,
): Partial<ResourceLimits> {
  const other = cpuQuota === undefined ? '--cpu-period' : '--cpu-quota';
  if (count !== undefined && (cpuQuota ?? cpuPeriod) !== undefined) {
    throw usageError('LIMIT', `conflicting options: --cpus and ${other} cannot both be set`);
  }
  const period = cpuPeriod === undefined ? {} : { cpuPeriodUs: readCount('--cpu-period', cpuPeriod, PERIODS_US) };
  if (cpuQuota !== undefined) return { cpuQuotaUs: readCount('--cpu-quota', cpuQuota, QUOTAS_US), ...period };
  if (count === undefined) return {};
  return { cpuQuotaUs: Math.round(readProcessors(count, processors()) * PERIOD_US), cpuPeriodUs: PERIOD_US };
}

function readProcessors(text: string, most: number): number {
  const count = Number(text);
  if (/^\d*\.?\d+$/.test(text) && count >= 0.01 && count <= most) return count;
  throw usageError(
    'LIMIT',
    `invalid --cpus "${text}": expected a number such as 1.5, from 0.01 to ${most}, as there are ${most} processors`,
  );
}

function readCount(flag: string, text: string, [least, most]: readonly [least: number, most: number]): number {
  const value = Number(text);
  if (/^-?\d+$/.test(text) && value >= least && value <= most) return value;
  throw usageError('LIMIT', `invalid ${flag} "${text}": expected a number from ${least} to ${most}`);
}

function readList(flag: string, text: string): string {
  if (parseCpuset(text) !== undefined) return text;
  throw usageError('LIMIT', `invalid ${flag} "${text}": expected a list such as 0-2,4`);
}
