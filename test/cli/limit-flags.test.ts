import { describe, expect, it } from 'vitest';
import { type RawLimitFlags, readLimits } from '../../src/cli/limit-flags.ts';

const MB = 1024 * 1024;

describe('limit flags', () => {
  it.each<[RawLimitFlags, unknown]>([
    [{}, undefined],
    [
      { memory: '512m', memorySwap: '-1' },
      { memoryBytes: 512 * MB, memorySwapBytes: -1 },
    ],
    [
      { memory: '512m', memorySwap: '1g' },
      { memoryBytes: 512 * MB, memorySwapBytes: 1024 * MB },
    ],
    [
      { cpus: '1.5', cpuShares: '512' },
      { cpuQuotaUs: 150_000, cpuPeriodUs: 100_000, cpuShares: 512 },
    ],
    [
      { cpuQuota: '20000', cpuPeriod: '50000' },
      { cpuQuotaUs: 20_000, cpuPeriodUs: 50_000 },
    ],
    [
      { cpusetCpus: '0-2,4', cpusetMems: '0,1', pidsLimit: '-1' },
      { cpusetCpus: '0-2,4', cpusetMems: '0,1', pidsLimit: -1 },
    ],
  ])('reads %j', (flags, limits) => {
    expect(readLimits(flags, () => 4)).toEqual(limits);
  });

  it.each<[RawLimitFlags, string]>([
    [{ memory: '1m' }, 'invalid --memory "1m": a step needs 6m at least'],
    [{ memory: 'x' }, 'invalid --memory "x": expected a size such as 64m'],
    [{ memorySwap: '1g' }, '--memory-swap needs --memory'],
    [{ memory: '1g', memorySwap: '64m' }, 'invalid --memory-swap "64m": less than --memory, which is part of it'],
    [{ cpus: '-1' }, 'invalid --cpus "-1": expected a number such as 1.5, from 0.01 to 4, as there are 4 processors'],
    [{ cpus: '4.1' }, 'invalid --cpus "4.1": expected a number such as 1.5, from 0.01 to 4, as there are 4 processors'],
    [{ cpus: '1', cpuQuota: '20000' }, 'conflicting options: --cpus and --cpu-quota cannot both be set'],
    [{ cpus: '1', cpuPeriod: '20000' }, 'conflicting options: --cpus and --cpu-period cannot both be set'],
    [{ memory: '9p' }, 'invalid --memory "9p": more than 9007199254740991 bytes'],
    [{ cpuShares: '1' }, 'invalid --cpu-shares "1": expected a number from 2 to 262144'],
    [{ cpuShares: '262145' }, 'invalid --cpu-shares "262145": expected a number from 2 to 262144'],
    [
      { cpuQuota: '2000', cpuPeriod: '2000000' },
      'invalid --cpu-period "2000000": expected a number from 1000 to 1000000',
    ],
    [{ cpuQuota: '999' }, 'invalid --cpu-quota "999": expected a number from 1000 to 17592186044415'],
    [{ cpusetCpus: '1-0' }, 'invalid --cpuset-cpus "1-0": expected a list such as 0-2,4'],
    [{ cpusetMems: 'x' }, 'invalid --cpuset-mems "x": expected a list such as 0-2,4'],
    [{ pidsLimit: '4194304' }, 'invalid --pids-limit "4194304": expected a number from -1 to 4194303'],
    [{ cpusetCpus: 'all' }, 'invalid --cpuset-cpus "all": expected a list such as 0-2,4'],
    [{ blkioWeight: '5' }, 'invalid --blkio-weight "5": expected a number from 10 to 1000'],
    [{ pidsLimit: 'many' }, 'invalid --pids-limit "many": expected a number from -1 to 4194303'],
  ])('refuses %j', (flags, message) => {
    expect(() => readLimits(flags, () => 4)).toThrow(message);
  });
});
