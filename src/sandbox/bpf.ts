// Classic BPF as seccomp runs it: instructions, the few of them a filter needs, and their bytes.

/** One instruction; jumps count instructions from the next one. */
export interface BpfInstruction {
  readonly code: number;
  readonly jumpTrue: number;
  readonly jumpFalse: number;
  readonly k: number;
}

/** Operation codes seccomp filters are made of. */
export const BPF = {
  loadWord: 0x20,
  jumpAlways: 0x05,
  jumpEqual: 0x15,
  jumpGreater: 0x25,
  jumpGreaterEqual: 0x35,
  and: 0x54,
  return: 0x06,
} as const;

/** Values a filter returns. */
export const SECCOMP_RETURN = {
  killThread: 0,
  trap: 0x00030000,
  errno: 0x00050000,
  trace: 0x7ff00000,
  notify: 0x7fc00000,
  log: 0x7ffc0000,
  allow: 0x7fff0000,
  killProcess: 0x80000000,
} as const;

/** Offsets in struct seccomp_data on a little-endian machine. */
export const SECCOMP_DATA = {
  number: 0,
  arch: 4,
  argumentLow: (index: number): number => 16 + 8 * index,
  argumentHigh: (index: number): number => 20 + 8 * index,
} as const;

/** Makes an instruction without jumps. */
export function statement(code: number, k: number): BpfInstruction {
  return { code, jumpTrue: 0, jumpFalse: 0, k };
}

/** Makes a conditional jump; both distances are at most 255. */
export function branch(code: number, k: number, jumpTrue: number, jumpFalse: number): BpfInstruction {
  if (jumpTrue > 255 || jumpFalse > 255) throw new Error('internal error: a conditional BPF jump is too far');
  return { code, jumpTrue, jumpFalse, k };
}

/** The bytes of struct sock_filter[]. */
export function encodeBpf(program: readonly BpfInstruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, { code, jumpTrue, jumpFalse, k }] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jumpTrue, index * 8 + 2);
    bytes.writeUInt8(jumpFalse, index * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4);
  }
  return bytes;
}
