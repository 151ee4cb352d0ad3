// From a seccomp profile in Docker's form to the BPF program the kernel runs: what libseccomp and runc do, for the
// machines and ABIs that matter here.
//
// Per ABI, system call numbers fall into ranges with one verdict each; a binary decision tree over the ranges finds the
// verdict in about six comparisons. As in runc, a number beyond the newest call the profile knows answers ENOSYS, so
// that C libraries fall back instead of taking "not permitted" for the kernel's word.
import { release } from 'node:os';
import { BPF, type BpfInstruction, branch, SECCOMP_DATA, SECCOMP_RETURN, statement } from './bpf.ts';
import { comparison } from './seccomp-comparison.ts';
import type { SeccompArgument, SeccompCondition, SeccompProfile, SeccompRule } from './seccomp-profile.ts';
import { type SyscallAbi, syscallNumbers } from './syscall-table.ts';

/** Machines the sandbox runs on, by Node's names. */
export type MachineArch = 'x64' | 'arm64';

const ENOSYS = 38;
const X32_BIT = 0x40000000;
/** ARM's private calls start here; they do not count as the newest known. */
const ARM_PRIVATE = 0xf0000;

const MACHINES: Readonly<
  Record<
    MachineArch,
    { readonly name: string; readonly abis: readonly { abi: SyscallAbi; audit: number; scmp: string }[] }
  >
> = {
  x64: {
    name: 'amd64',
    abis: [
      { abi: 'x86_64', audit: 0xc000003e, scmp: 'SCMP_ARCH_X86_64' },
      { abi: 'x86', audit: 0x40000003, scmp: 'SCMP_ARCH_X86' },
    ],
  },
  arm64: {
    name: 'arm64',
    abis: [
      { abi: 'aarch64', audit: 0xc00000b7, scmp: 'SCMP_ARCH_AARCH64' },
      { abi: 'arm', audit: 0x40000028, scmp: 'SCMP_ARCH_ARM' },
    ],
  },
};

type Verdict =
  | { readonly kind: 'return'; readonly value: number }
  | { readonly kind: 'compare'; readonly alternatives: readonly Alternative[]; readonly name: string };

/** What a call answers when all conditions hold. */
interface Alternative {
  readonly conditions: readonly SeccompArgument[];
  readonly value: number;
}

interface Range {
  readonly start: number;
  readonly verdict: Verdict;
}

/** Compiles a profile for a machine and a set of capabilities (names such as CAP_CHOWN) the process will hold. */
export function compileSeccomp(
  profile: SeccompProfile,
  arch: MachineArch,
  capabilities: readonly string[],
): readonly BpfInstruction[] {
  const machine = MACHINES[arch];
  const otherwise = actionValue(profile.defaultAction, profile.defaultErrnoRet);
  const rules = profile.syscalls.filter(
    (rule) => applies(rule, machine.name, capabilities) && actionValue(rule.action, rule.errnoRet) !== otherwise,
  );
  const isUsable = (scmp: string): boolean => profile.architectures?.includes(scmp) ?? true;
  const program: BpfInstruction[] = [statement(BPF.loadWord, SECCOMP_DATA.arch)];
  for (const { abi, audit } of machine.abis.filter(({ scmp }) => isUsable(scmp))) {
    const body = abiProgram(abi, rules, otherwise, isUsable('SCMP_ARCH_X32'));
    program.push(branch(BPF.jumpEqual, audit, 1, 0), statement(BPF.jumpAlways, body.length), ...body);
  }
  program.push(statement(BPF.return, SECCOMP_RETURN.killProcess));
  return program;
}

function abiProgram(abi: SyscallAbi, rules: readonly SeccompRule[], denied: number, hasX32: boolean): BpfInstruction[] {
  const ranges = abiRanges(abi, rules, denied, 0);
  if (abi === 'x86_64' && hasX32) ranges.push(...abiRanges('x32', rules, denied, X32_BIT));
  else if (abi === 'x86_64') {
    ranges.push({ start: X32_BIT, verdict: { kind: 'return', value: SECCOMP_RETURN.killProcess } });
  }
  return [statement(BPF.loadWord, SECCOMP_DATA.number), ...decisionTree(ranges, 0, ranges.length, denied)];
}

function applies(rule: SeccompRule, arch: string, capabilities: readonly string[]): boolean {
  return (
    (rule.includes === undefined || holds(rule.includes, arch, capabilities, 'all')) &&
    (rule.excludes === undefined || !holds(rule.excludes, arch, capabilities, 'any'))
  );
}

/** `includes` must hold in all its parts; `excludes` counts when any part holds. */
function holds(
  condition: SeccompCondition,
  arch: string,
  capabilities: readonly string[],
  mode: 'all' | 'any',
): boolean {
  const parts: boolean[] = [];
  if (condition.arches !== undefined) parts.push(condition.arches.includes(arch));
  for (const capability of condition.caps ?? []) parts.push(capabilities.includes(capability));
  if (condition.minKernel !== undefined) parts.push(isKernelAtLeast(condition.minKernel));
  return mode === 'all' ? parts.every(Boolean) : parts.some(Boolean);
}

/** True when this kernel is of that version or newer; both as in `5.10`. */
export function isKernelAtLeast(version: string, running = release()): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [ownMajor = 0, ownMinor = 0] = running.split('.').map((part) => Number.parseInt(part, 10));
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

const ACTIONS: Readonly<Record<string, (errno: number) => number>> = {
  SCMP_ACT_ALLOW: () => SECCOMP_RETURN.allow,
  SCMP_ACT_ERRNO: (errno) => SECCOMP_RETURN.errno | errno,
  SCMP_ACT_KILL: () => SECCOMP_RETURN.killThread,
  SCMP_ACT_KILL_THREAD: () => SECCOMP_RETURN.killThread,
  SCMP_ACT_KILL_PROCESS: () => SECCOMP_RETURN.killProcess,
  SCMP_ACT_LOG: () => SECCOMP_RETURN.log,
  SCMP_ACT_TRACE: (errno) => SECCOMP_RETURN.trace | errno,
  SCMP_ACT_TRAP: () => SECCOMP_RETURN.trap,
};

/** The actions a profile may name. */
export const SECCOMP_ACTIONS: readonly string[] = Object.keys(ACTIONS);

function actionValue(action: string, errno: number | undefined): number {
  const value = ACTIONS[action]?.((errno ?? 1) & 0xffff);
  if (value === undefined) throw new Error(`internal error: unknown seccomp action ${action}`);
  return value;
}

/** Ranges of equal verdict in ascending order, the last one open-ended and answering ENOSYS. */
function abiRanges(abi: SyscallAbi, rules: readonly SeccompRule[], denied: number, offset: number): Range[] {
  const verdicts = abiVerdicts(abi, rules);
  const numbers = [...verdicts.keys()].sort((a, b) => a - b);
  const newest = numbers.filter((number) => number < ARM_PRIVATE).at(-1) ?? -1;
  const refused: Verdict = { kind: 'return', value: denied };
  const isList = denied !== SECCOMP_RETURN.allow && denied !== SECCOMP_RETURN.log;
  const unknown: Verdict = isList ? { kind: 'return', value: SECCOMP_RETURN.errno | ENOSYS } : refused;
  const ranges: Range[] = [];
  const add = (start: number, verdict: Verdict): void => {
    const last = ranges.at(-1)?.verdict;
    if (last?.kind === 'return' && verdict.kind === 'return' && last.value === verdict.value) return;
    ranges.push({ start: start + offset, verdict });
  };
  let next = 0;
  for (const number of numbers) {
    if (number > next) add(next, next > newest ? unknown : refused);
    add(number, verdicts.get(number) ?? refused);
    next = number + 1;
  }
  add(next, unknown);
  return ranges;
}

/** An unconditional rule wins over rules that look at arguments; those are alternatives to each other. */
function abiVerdicts(abi: SyscallAbi, rules: readonly SeccompRule[]): Map<number, Verdict> {
  const numbers = syscallNumbers(abi);
  const verdicts = new Map<number, Verdict>();
  for (const rule of rules) {
    const conditions = rule.args ?? [];
    for (const name of rule.names) {
      const number = numbers.get(name);
      if (number === undefined) continue;
      const before = verdicts.get(number);
      if (conditions.length === 0) {
        verdicts.set(number, { kind: 'return', value: actionValue(rule.action, rule.errnoRet) });
      } else if (before?.kind !== 'return') {
        const value = actionValue(rule.action, rule.errnoRet);
        const alternatives = [...(before?.alternatives ?? []), { conditions, value }];
        verdicts.set(number, { kind: 'compare', name, alternatives });
      }
    }
  }
  return verdicts;
}

function decisionTree(ranges: readonly Range[], from: number, to: number, denied: number): BpfInstruction[] {
  const first = ranges[from];
  if (first === undefined) throw new Error('internal error: an empty seccomp range');
  if (to - from === 1) return leaf(first.verdict, denied);
  const middle = (from + to) >> 1;
  const below = decisionTree(ranges, from, middle, denied);
  const above = decisionTree(ranges, middle, to, denied);
  const start = ranges[middle]?.start ?? 0;
  if (below.length <= 255) return [branch(BPF.jumpGreaterEqual, start, below.length, 0), ...below, ...above];
  return [branch(BPF.jumpGreaterEqual, start, 0, 1), statement(BPF.jumpAlways, below.length), ...below, ...above];
}

function leaf(verdict: Verdict, denied: number): BpfInstruction[] {
  if (verdict.kind === 'return') return [statement(BPF.return, verdict.value)];
  const code = verdict.alternatives.flatMap((choice) => alternative(choice, verdict.name));
  return [...code, statement(BPF.return, denied)];
}

/** All conditions in turn, then the answer; the first that fails jumps behind it. */
function alternative({ conditions, value }: Alternative, name: string): BpfInstruction[] {
  let code: BpfInstruction[] = [statement(BPF.return, value)];
  for (const condition of conditions.toReversed()) {
    code = [...comparison(condition, name, code.length), ...code];
  }
  return code;
}
