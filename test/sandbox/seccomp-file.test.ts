import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { BpfInstruction } from '../../src/sandbox/bpf.ts';
import { compileSeccomp, isKernelAtLeast } from '../../src/sandbox/seccomp.ts';
import { readSeccompFile } from '../../src/sandbox/seccomp-file.ts';
import { ALLOW, evaluate } from './bpf-machine.ts';

const dir = mkdtempSync(join(tmpdir(), 'tsbuild-profile-'));
const path = join(dir, 'profile.json');
afterAll(() => rmSync(dir, { recursive: true }));

const read = (profile: unknown) => {
  writeFileSync(path, typeof profile === 'string' ? profile : JSON.stringify(profile));
  return readSeccompFile(path, 'x64');
};

const X64 = 0xc000003e;
const PERSONALITY = 135;
const MKDIR = 83;

const answer = (program: readonly BpfInstruction[], number: number, argument = 0n, audit = X64): number =>
  evaluate(program, audit, number, [argument]);

const BIG = 0x1_0000_0005n;

describe('a seccomp profile of the user’s', () => {
  it.each([
    ['SCMP_CMP_EQ', (value: bigint) => value === BIG],
    ['SCMP_CMP_NE', (value: bigint) => value !== BIG],
    ['SCMP_CMP_LT', (value: bigint) => value < BIG],
    ['SCMP_CMP_LE', (value: bigint) => value <= BIG],
    ['SCMP_CMP_GT', (value: bigint) => value > BIG],
    ['SCMP_CMP_GE', (value: bigint) => value >= BIG],
  ])('compares all 64 bits by %s', (op, holds) => {
    const args = [{ index: 0, value: Number(BIG), op }];
    const profile = read({
      defaultAction: 'SCMP_ACT_ERRNO',
      syscalls: [{ names: ['personality'], action: 'SCMP_ACT_ALLOW', args }],
    });
    const program = compileSeccomp(profile, 'x64', []);
    for (const value of [0n, 4n, 5n, 6n, BIG - 1n, BIG, BIG + 1n, 0x2_0000_0000n, 0xffff_ffffn, 0x1_0000_0000n]) {
      expect([value, answer(program, PERSONALITY, value)]).toEqual([value, holds(value) ? ALLOW : 0x00050001]);
    }
  });

  it('answers what its rules say, and its default elsewhere', () => {
    const profile = read({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        { name: 'mkdir', action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
        { names: ['personality'], action: 'SCMP_ACT_KILL', args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] },
        { names: ['getpid'], action: 'SCMP_ACT_ERRNO', includes: { caps: ['CAP_SYS_ADMIN'] } },
        { names: ['getuid'], action: 'SCMP_ACT_TRAP', includes: { minKernel: '99.0' } },
        { names: ['getgid'], action: 'SCMP_ACT_LOG', excludes: { arches: ['arm64'] } },
      ],
    });
    const program = compileSeccomp(profile, 'x64', []);
    expect(answer(program, MKDIR)).toBe(0x00050026);
    expect([1n, 2n].map((value) => answer(program, PERSONALITY, value))).toEqual([0, ALLOW]);
    expect([39, 102, 104, 9999].map((number) => answer(program, number))).toEqual([ALLOW, ALLOW, 0x7ffc0000, ALLOW]);
  });

  it('kills processes of ABIs it does not name', () => {
    const rules = { defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_ALLOW' }] };
    const archMap = [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }];
    const answers = (profile: unknown) => {
      const program = compileSeccomp(read(profile), 'x64', []);
      return [answer(program, MKDIR), answer(program, 39, 0n, 0x40000003), answer(program, 0x40000000 + MKDIR)];
    };
    expect(answers(rules)).toEqual([ALLOW, ALLOW, ALLOW]);
    expect(answers({ ...rules, archMap })).toEqual([ALLOW, ALLOW, 0x80000000]);
    expect(answers({ ...rules, architectures: ['SCMP_ARCH_X86_64'] })).toEqual([ALLOW, 0x80000000, 0x80000000]);
  });

  it.each([
    ['no JSON', 'it is no JSON object'],
    [{}, 'defaultAction is missing and is no action: SCMP_ACT_ALLOW,'],
    [{ defaultAction: 'SCMP_ACT_NOTIFY' }, 'defaultAction "SCMP_ACT_NOTIFY" is no action: SCMP_ACT_ALLOW,'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: {} }, '"syscalls" is no list'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{}] }, 'syscalls[0] names no system call'],
    [rule({ op: 'LIKE' }), 'syscalls[0].args[0].op "LIKE" is no comparison'],
    [rule({ op: 'SCMP_CMP_EQ', index: 6 }), 'syscalls[0].args[0].index is no number from 0 to 5'],
    [rule({ op: 'SCMP_CMP_EQ', index: 0, value: 2 ** 60 }), 'syscalls[0].args[0].value is no whole number below 2^53'],
  ])('says what is wrong with %j', (profile, fact) => {
    expect(() => read(profile)).toThrow(`invalid seccomp profile "${path}": ${fact}`);
  });

  it('says that it is not there', () => {
    expect(() => readSeccompFile(join(dir, 'none'), 'x64')).toThrow('none": there is no such file');
  });

  it('compares versions of kernels by number', () => {
    expect(['4.8', '6.9', '6.10', '6.11', '7.0'].map((version) => isKernelAtLeast(version, '6.10.3-x'))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});

function rule(argument: object): object {
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_ERRNO', args: [argument] }],
  };
}
