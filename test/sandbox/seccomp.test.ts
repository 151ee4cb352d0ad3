import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { encodeBpf } from '../../src/sandbox/bpf.ts';
import { capabilityNames, DEFAULT_CAPABILITIES } from '../../src/sandbox/capabilities.ts';
import { compileSeccomp } from '../../src/sandbox/seccomp.ts';
import { dockerProfile, type SeccompProfile, type SeccompRule } from '../../src/sandbox/seccomp-profile.ts';
import { type SyscallAbi, syscallNumbers } from '../../src/sandbox/syscall-table.ts';
import { ALLOW, evaluate } from './bpf-machine.ts';

const PROFILE = new URL('../../../shared/corpora/seccomp/docker-default.json', import.meta.url);
const errno = (number: number): number => 0x00050000 | number;

const CAPS = capabilityNames(DEFAULT_CAPABILITIES);

/** The profile's own meaning for a call, read rule by rule. */
function expected(profile: SeccompProfile, arch: string, name: string, args: readonly bigint[], caps = CAPS): number {
  const rules = profile.syscalls.filter(
    (rule) =>
      rule.names.includes(name) &&
      (rule.includes?.arches?.includes(arch) ?? true) &&
      (rule.includes?.caps ?? []).every((cap) => caps.includes(cap)) &&
      !(rule.excludes?.arches?.includes(arch) ?? false) &&
      !(rule.excludes?.caps ?? []).some((cap) => caps.includes(cap)),
  );
  const value = (rule: SeccompRule): number => (rule.action === 'SCMP_ACT_ALLOW' ? ALLOW : errno(rule.errnoRet ?? 1));
  const plain = rules.find((rule) => (rule.args ?? []).length === 0);
  if (plain !== undefined) return value(plain);
  const fitting = rules.find((rule) =>
    (rule.args ?? []).every(({ index, value: want, valueTwo, op }) => {
      const have = args[index] ?? 0n;
      if (op === 'SCMP_CMP_EQ') return have === BigInt(want);
      if (op === 'SCMP_CMP_GT') return have > BigInt(want);
      if (op === 'SCMP_CMP_LT') return have < BigInt(want);
      if (op === 'SCMP_CMP_MASKED_EQ') return (have & BigInt(want)) === BigInt(valueTwo ?? 0);
      throw new Error(op);
    }),
  );
  return fitting === undefined ? errno(1) : value(fitting);
}

const SAMPLES: readonly bigint[] = [0n, 1n, 2n, 8n, 37n, 38n, 39n, 40n, 41n, 17n, 0x20000n, 0x20008n, 0xffffffffn];
const CLONE_SAMPLES: readonly bigint[] = [0x10000000n, 0x02000000n, 0x00020000n, 0x7e020000n, 0x3d0f00n, 0x1200011n];

const ABIS: readonly { abi: SyscallAbi; machine: 'x64' | 'arm64'; docker: string; audit: number; bit: number }[] = [
  { abi: 'x86_64', machine: 'x64', docker: 'amd64', audit: 0xc000003e, bit: 0 },
  { abi: 'x32', machine: 'x64', docker: 'amd64', audit: 0xc000003e, bit: 0x40000000 },
  { abi: 'x86', machine: 'x64', docker: 'amd64', audit: 0x40000003, bit: 0 },
  { abi: 'aarch64', machine: 'arm64', docker: 'arm64', audit: 0xc00000b7, bit: 0 },
  { abi: 'arm', machine: 'arm64', docker: 'arm64', audit: 0x40000028, bit: 0 },
];

describe('the built-in profile', () => {
  itNeeding([PROFILE], "is Docker's default", () => {
    const docker = JSON.parse(readFileSync(PROFILE, 'utf8')) as SeccompProfile;
    const strip = (rule: SeccompRule): unknown => ({
      names: rule.names,
      action: rule.action,
      errnoRet: rule.errnoRet,
      args: rule.args ?? [],
      caps: [rule.includes?.caps, rule.excludes?.caps],
      arches: [rule.includes?.arches, rule.excludes?.arches],
    });
    expect(dockerProfile().syscalls.map(strip)).toEqual(docker.syscalls.map(strip));
  });
});

describe.each(ABIS)('the filter for $abi', ({ abi, machine, docker, audit, bit }) => {
  const profile = dockerProfile();
  const program = compileSeccomp(profile, machine, CAPS);
  const numbers = syscallNumbers(abi);

  it('answers every system call as the profile says', () => {
    const wrong: string[] = [];
    const listed = new Set(profile.syscalls.flatMap((rule) => rule.names));
    const known = [...listed].map((name) => numbers.get(name) ?? 0);
    const newest = Math.max(...known.filter((number) => number < 0xf0000));
    for (const [name, number] of numbers) {
      for (const sample of [...SAMPLES, ...CLONE_SAMPLES]) {
        const want = number > newest && !listed.has(name) ? errno(38) : expected(profile, docker, name, [sample]);
        const got = evaluate(program, audit, number + bit, [sample]);
        if (got !== want) wrong.push(`${name}(${sample}): ${got.toString(16)}, not ${want.toString(16)}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('answers ENOSYS for calls newer than the profile and EPERM for gaps', () => {
    expect(evaluate(program, audit, 600 + bit, [])).toBe(errno(38));
    const taken = new Set(numbers.values());
    const gap = Array.from({ length: 300 }, (_, index) => index).find((number) => !taken.has(number));
    if (gap !== undefined) expect(evaluate(program, audit, gap + bit, [])).toBe(errno(1));
  });

  it('stays within what the kernel accepts', () => {
    expect(program.length).toBeLessThanOrEqual(4096);
    expect(encodeBpf(program).length).toBe(program.length * 8);
  });
});

describe('compileSeccomp', () => {
  const amd64 = compileSeccomp(dockerProfile(), 'x64', CAPS);

  it('answers clone3 with ENOSYS and unshare with EPERM, but allows both with CAP_SYS_ADMIN', () => {
    expect(evaluate(amd64, 0xc000003e, 435, [])).toBe(errno(38));
    expect(evaluate(amd64, 0xc000003e, 272, [])).toBe(errno(1));
    const admin = compileSeccomp(dockerProfile(), 'x64', [...CAPS, 'CAP_SYS_ADMIN']);
    expect(evaluate(admin, 0xc000003e, 435, [])).toBe(ALLOW);
    expect(evaluate(admin, 0xc000003e, 272, [])).toBe(ALLOW);
  });

  it('lets no high bits carry a socket family past the filter', () => {
    expect(evaluate(amd64, 0xc000003e, 41, [38n])).toBe(errno(1));
    expect(evaluate(amd64, 0xc000003e, 41, [(1n << 32n) | 38n])).toBe(errno(1));
    expect(evaluate(amd64, 0xc000003e, 41, [2n])).toBe(ALLOW);
  });

  it('compares all 64 bits of a personality', () => {
    expect(evaluate(amd64, 0xc000003e, 135, [8n])).toBe(ALLOW);
    expect(evaluate(amd64, 0xc000003e, 135, [(1n << 32n) | 8n])).toBe(errno(1));
  });

  it('kills a process of an unknown ABI', () => {
    expect(evaluate(amd64, 0x12345678, 0, [])).toBe(0x80000000);
  });
});

const HEADER = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h';

describe('the table of system calls', () => {
  itNeeding([HEADER], "has the kernel headers' numbers for x86-64", () => {
    const numbers = syscallNumbers('x86_64');
    const lines = execFileSync('grep', ['-E', '^#define __NR_', HEADER], { encoding: 'utf8' }).trim().split('\n');
    for (const line of lines) {
      const [, name, number] = line.match(/__NR_(\w+) (\d+)/) ?? [];
      if (name !== undefined) expect([name, numbers.get(name)]).toEqual([name, Number(number)]);
    }
  });
});
