// One comparison of a system call's argument as BPF, which has 32-bit words only.
import { BPF, type BpfInstruction, branch, SECCOMP_DATA, statement } from './bpf.ts';
import type { SeccompArgument } from './seccomp-profile.ts';

type Comparison = (onFailure: number) => readonly BpfInstruction[];

interface Halves {
  readonly high: BpfInstruction;
  readonly low: BpfInstruction;
  readonly wantHigh: number;
  readonly wantLow: number;
}

/** Comparisons a profile may name. */
export const SECCOMP_OPERATORS: readonly string[] = [
  'SCMP_CMP_EQ',
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_GT',
  'SCMP_CMP_GE',
  'SCMP_CMP_MASKED_EQ',
];

/**
 * Falls through when the comparison holds and jumps `onFailure` instructions on when not. `socket` takes an int: only the
 * low half counts for the kernel, so only that is compared, and no high bit can smuggle a family past.
 */
export function comparison(argument: SeccompArgument, name: string, onFailure: number): readonly BpfInstruction[] {
  const { index, value } = argument;
  const halves: Halves = {
    high: statement(BPF.loadWord, SECCOMP_DATA.argumentHigh(index)),
    low: statement(BPF.loadWord, SECCOMP_DATA.argumentLow(index)),
    wantHigh: Math.floor(value / 2 ** 32),
    wantLow: value >>> 0,
  };
  const compare = name === 'socket' ? narrow(argument, halves) : wide(argument, halves);
  if (compare === undefined) throw new Error(`internal error: unsupported seccomp comparison ${argument.op}`);
  return compare(onFailure);
}

function narrow({ op }: SeccompArgument, { low, wantLow }: Halves): Comparison | undefined {
  const jump = (code: number, holds: boolean): Comparison => {
    return (fail) => [low, branch(code, wantLow, holds ? 0 : fail, holds ? fail : 0)];
  };
  switch (op) {
    case 'SCMP_CMP_EQ':
      return jump(BPF.jumpEqual, true);
    case 'SCMP_CMP_NE':
      return jump(BPF.jumpEqual, false);
    case 'SCMP_CMP_GT':
      return jump(BPF.jumpGreater, true);
    case 'SCMP_CMP_GE':
      return jump(BPF.jumpGreaterEqual, true);
    case 'SCMP_CMP_LT':
      return jump(BPF.jumpGreaterEqual, false);
    case 'SCMP_CMP_LE':
      return jump(BPF.jumpGreater, false);
    default:
      return undefined;
  }
}

function wide({ op, value, valueTwo = 0 }: SeccompArgument, halves: Halves): Comparison | undefined {
  const { high, low, wantHigh, wantLow } = halves;
  /** The high halves decide unless they are equal. */
  const above = (code: number): Comparison => {
    return (fail) => [
      high,
      branch(BPF.jumpGreater, wantHigh, 3, 0),
      branch(BPF.jumpEqual, wantHigh, 0, fail + 2),
      low,
      branch(code, wantLow, 0, fail),
    ];
  };
  const below = (code: number): Comparison => {
    return (fail) => [
      high,
      branch(BPF.jumpGreaterEqual, wantHigh, 0, 3),
      branch(BPF.jumpEqual, wantHigh, 0, fail + 2),
      low,
      branch(code, wantLow, fail, 0),
    ];
  };
  switch (op) {
    case 'SCMP_CMP_EQ':
      return (fail) => [
        high,
        branch(BPF.jumpEqual, wantHigh, 0, fail + 2),
        low,
        branch(BPF.jumpEqual, wantLow, 0, fail),
      ];
    case 'SCMP_CMP_NE':
      return (fail) => [high, branch(BPF.jumpEqual, wantHigh, 0, 2), low, branch(BPF.jumpEqual, wantLow, fail, 0)];
    case 'SCMP_CMP_GT':
      return above(BPF.jumpGreater);
    case 'SCMP_CMP_GE':
      return above(BPF.jumpGreaterEqual);
    case 'SCMP_CMP_LT':
      return below(BPF.jumpGreaterEqual);
    case 'SCMP_CMP_LE':
      return below(BPF.jumpGreater);
    case 'SCMP_CMP_MASKED_EQ':
      return masked(halves, value, valueTwo);
    default:
      return undefined;
  }
}

function masked({ high, low }: Halves, mask: number, want: number): Comparison {
  return (fail) => [
    high,
    statement(BPF.and, Math.floor(mask / 2 ** 32)),
    branch(BPF.jumpEqual, Math.floor(want / 2 ** 32), 0, fail + 3),
    low,
    statement(BPF.and, mask >>> 0),
    branch(BPF.jumpEqual, want >>> 0, 0, fail),
  ];
}
