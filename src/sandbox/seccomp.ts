// From a seccomp profile in Docker's form to the BPF program the kernel runs: what libseccomp and runc do, for the
// machines and ABIs that matter here.
//
// Per ABI, system call numbers fall into ranges with one verdict each; a binary decision tree over the ranges finds the
// verdict in about six comparisons. As in runc, a number beyond the newest call the profile knows answers ENOSYS, so
// that C libraries fall back instead of taking "not permitted" for the kernel's word.
import { BPF, type BpfInstruction, branch, SECCOMP_DATA, SECCOMP_RETURN, statement } from './bpf.ts';
import type { SeccompArgument, SeccompCondition, SeccompProfile, SeccompRule } from './seccomp-profile.ts';
import { type SyscallAbi, syscallNumbers } from './syscall-table.ts';

/** Machines the sandbox runs on, by Node's names. */
export type MachineArch = 'x64' | 'arm64';

const ENOSYS = 38;
const X32_BIT = 0x40000000;
/** ARM's private calls start here; they do not count as the newest known. */
const ARM_PRIVATE = 0xf0000;

const MACHINES: Readonly<
  Record<MachineArch, { readonly name: string; readonly abis: readonly { abi: SyscallAbi; audit: number }[] }>
> = {
  x64: {
    name: 'amd64',
    abis: [
      { abi: 'x86_64', audit: 0xc000003e },
      { abi: 'x86', audit: 0x40000003 },
    ],
  },
  arm64: {
    name: 'arm64',
    abis: [
      { abi: 'aarch64', audit: 0xc00000b7 },
      { abi: 'arm', audit: 0x40000028 },
    ],
  },
};

type Verdict =
  | { readonly kind: 'return'; readonly value: number }
  | { readonly kind: 'compare'; readonly alternatives: readonly (readonly SeccompArgument[])[]; readonly name: string };

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
  const rules = profile.syscalls.filter((rule) => applies(rule, machine.name, capabilities));
  const denied = actionValue(profile.defaultAction, profile.defaultErrnoRet);
  const program: BpfInstruction[] = [statement(BPF.loadWord, SECCOMP_DATA.arch)];
  for (const { abi, audit } of machine.abis) {
    const body = abiProgram(abi, rules, denied);
    program.push(branch(BPF.jumpEqual, audit, 1, 0), statement(BPF.jumpAlways, body.length), ...body);
  }
  program.push(statement(BPF.return, SECCOMP_RETURN.killProcess));
  return program;
}

function abiProgram(abi: SyscallAbi, rules: readonly SeccompRule[], denied: number): BpfInstruction[] {
  const ranges = abiRanges(abi, rules, denied, 0);
  if (abi === 'x86_64') ranges.push(...abiRanges('x32', rules, denied, X32_BIT));
  return [statement(BPF.loadWord, SECCOMP_DATA.number), ...decisionTree(ranges, 0, ranges.length, denied)];
}

function applies(rule: SeccompRule, arch: string, capabilities: readonly string[]): boolean {
  return (
    (rule.includes === undefined || holds(rule.includes, arch, capabilities, 'all')) &&
    (rule.excludes === undefined || !holds(rule.excludes, arch, capabilities, 'any'))
  );
}

/** `includes` must hold in all its parts; `excludes` counts when any part holds. Kernels older than 4.8 are not met. */
function holds(
  condition: SeccompCondition,
  arch: string,
  capabilities: readonly string[],
  mode: 'all' | 'any',
): boolean {
  const parts: boolean[] = [];
  if (condition.arches !== undefined) parts.push(condition.arches.includes(arch));
  for (const capability of condition.caps ?? []) parts.push(capabilities.includes(capability));
  return mode === 'all' ? parts.every(Boolean) : parts.some(Boolean);
}

function actionValue(action: string, errno: number | undefined): number {
  if (action === 'SCMP_ACT_ALLOW') return SECCOMP_RETURN.allow;
  if (action === 'SCMP_ACT_ERRNO') return SECCOMP_RETURN.errno | (errno ?? 1);
  if (action === 'SCMP_ACT_KILL_PROCESS') return SECCOMP_RETURN.killProcess;
  throw new Error(`internal error: unknown seccomp action ${action}`);
}

/** Ranges of equal verdict in ascending order, the last one open-ended and answering ENOSYS. */
function abiRanges(abi: SyscallAbi, rules: readonly SeccompRule[], denied: number, offset: number): Range[] {
  const verdicts = abiVerdicts(abi, rules);
  const numbers = [...verdicts.keys()].sort((a, b) => a - b);
  const newest = numbers.filter((number) => number < ARM_PRIVATE).at(-1) ?? -1;
  const unknown: Verdict = { kind: 'return', value: SECCOMP_RETURN.errno | ENOSYS };
  const refused: Verdict = { kind: 'return', value: denied };
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
        verdicts.set(number, { kind: 'compare', name, alternatives: [...(before?.alternatives ?? []), conditions] });
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
  const code = verdict.alternatives.flatMap((conditions) => alternative(conditions, verdict.name));
  return [...code, statement(BPF.return, denied)];
}

/** All conditions in turn, then "allow"; the first that fails jumps behind it. */
function alternative(conditions: readonly SeccompArgument[], name: string): BpfInstruction[] {
  let code: BpfInstruction[] = [statement(BPF.return, SECCOMP_RETURN.allow)];
  for (const condition of conditions.toReversed()) {
    code = [...comparison(condition, name, code.length), ...code];
  }
  return code;
}

/**
 * A 64-bit comparison that falls through when it holds and jumps `onFailure` instructions on when not. `socket` takes an
 * int: only the low half counts for the kernel, so only that is compared, and no high bit can smuggle a family past.
 */
function comparison(
  { index, value, valueTwo, op }: SeccompArgument,
  name: string,
  onFailure: number,
): BpfInstruction[] {
  const high = statement(BPF.loadWord, SECCOMP_DATA.argumentHigh(index));
  const low = statement(BPF.loadWord, SECCOMP_DATA.argumentLow(index));
  const [vHigh, vLow] = [Math.floor(value / 2 ** 32), value >>> 0];
  const isInt = name === 'socket';
  switch (op) {
    case 'SCMP_CMP_EQ':
      if (isInt) return [low, branch(BPF.jumpEqual, vLow, 0, onFailure)];
      return [high, branch(BPF.jumpEqual, vHigh, 0, onFailure + 2), low, branch(BPF.jumpEqual, vLow, 0, onFailure)];
    case 'SCMP_CMP_GT':
      if (isInt) return [low, branch(BPF.jumpGreater, vLow, 0, onFailure)];
      return [
        high,
        branch(BPF.jumpGreater, vHigh, 3, 0),
        branch(BPF.jumpEqual, vHigh, 0, onFailure + 2),
        low,
        branch(BPF.jumpGreater, vLow, 0, onFailure),
      ];
    case 'SCMP_CMP_LT':
      if (isInt) return [low, branch(BPF.jumpGreaterEqual, vLow, onFailure, 0)];
      return [
        high,
        branch(BPF.jumpGreater, vHigh, onFailure + 3, 0),
        branch(BPF.jumpEqual, vHigh, 0, 2),
        low,
        branch(BPF.jumpGreaterEqual, vLow, onFailure, 0),
      ];
    case 'SCMP_CMP_MASKED_EQ': {
      const want = valueTwo ?? 0;
      return [
        high,
        statement(BPF.and, vHigh),
        branch(BPF.jumpEqual, Math.floor(want / 2 ** 32), 0, onFailure + 3),
        low,
        statement(BPF.and, vLow),
        branch(BPF.jumpEqual, want >>> 0, 0, onFailure),
      ];
    }
    default:
      throw new Error(`internal error: unsupported seccomp comparison ${op}`);
  }
}
