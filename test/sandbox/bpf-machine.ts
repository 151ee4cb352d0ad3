// What the kernel's seccomp machine answers: written from the instruction set, not from the compiler.
import type { BpfInstruction } from '../../src/sandbox/bpf.ts';

/** SECCOMP_RET_ALLOW. */
export const ALLOW = 0x7fff0000;

/** The program's answer to a call of the machine with that AUDIT_ARCH. */
export function evaluate(
  program: readonly BpfInstruction[],
  audit: number,
  number: number,
  args: readonly bigint[],
): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number >>> 0, 0);
  data.writeUInt32LE(audit, 4);
  for (const [index, value] of args.entries()) data.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + index * 8);
  let a = 0;
  for (let pc = 0; ; pc++) {
    const step = program[pc];
    if (step === undefined) throw new Error(`ran off the program at ${pc}`);
    const { code, k } = step;
    if (code === 0x06) return k >>> 0;
    else if (code === 0x20) a = data.readUInt32LE(k);
    else if (code === 0x54) a = (a & k) >>> 0;
    else if (code === 0x05) pc += k;
    else {
      const holds =
        code === 0x15 ? a === k >>> 0 : code === 0x25 ? a > k >>> 0 : code === 0x35 ? a >= k >>> 0 : undefined;
      if (holds === undefined) throw new Error(`unknown instruction ${code}`);
      pc += holds ? step.jumpTrue : step.jumpFalse;
    }
  }
}
