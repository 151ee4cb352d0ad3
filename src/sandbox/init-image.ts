// tsbuild-init: the only machine code of the sandbox. It maps the program it finds as file descriptor 3 and makes the
// system calls listed there, one record after the other; what the calls are, init-program.ts and the run program say.
//
// The bytes and their assembly stand side by side below; a test assembles the right column and compares. A record is
// 72 bytes: u32 number, u32 flags, six u64 arguments, u64 jump target, u64 address of a list of result places.

import type { MachineArch } from './seccomp.ts';

/** Where the program is mapped; every address in it is absolute. */
export const PROGRAM_ADDRESS = 0x10000000;
/** Bytes reserved for it; what lies behind the end of the file is never touched. */
export const PROGRAM_SPACE = 0x4000000;
/** Exit code after a failed call; the header then holds the record's address and the negative errno. */
export const SETUP_FAILED = 125;

/** Shape of the program: header bytes, record bytes and the meaning of a record's flags. */
export const RECORD = {
  headerBytes: 64,
  bytes: 72,
  flagsOffset: 4,
  argumentsOffset: 8,
  jumpOffset: 56,
  resultsOffset: 64,
  ignoreError: 1,
  jumpIfPositive: 2,
  /** The upper 16 bits of the flags hold the one errno to jump on, 0 for any. */
  jumpOnError: 4,
} as const;

/** Assembly with its bytes: `bytes instruction ; comment` or `label:` per line. Intel syntax on x86-64. */
export const LISTINGS: Readonly<Record<MachineArch, string>> = {
  x64: `
_start:
bf00000010     mov edi, 0x10000000          ; PROGRAM_ADDRESS
be00000004     mov esi, 0x4000000           ; PROGRAM_SPACE
6a03           push 3                       ; PROT_READ | PROT_WRITE
5a             pop rdx
6a11           push 0x11                    ; MAP_SHARED | MAP_FIXED
415a           pop r10
4989d0         mov r8, rdx                  ; the descriptor of the program
4531c9         xor r9d, r9d
6a09           push 9                       ; mmap
58             pop rax
0f05           syscall
488d5840       lea rbx, [rax+64]            ; the first record follows the header
loop:
8b03           mov eax, [rbx]               ; number, then six arguments
488b7b08       mov rdi, [rbx+8]
488b7310       mov rsi, [rbx+16]
488b5318       mov rdx, [rbx+24]
4c8b5320       mov r10, [rbx+32]
4c8b4328       mov r8, [rbx+40]
4c8b4b30       mov r9, [rbx+48]
0f05           syscall
4885c0         test rax, rax
782e           js failed
7426           jz next                      ; zero is never stored: both sides of a clone share the program
488b7340       mov rsi, [rbx+64]            ; zero-terminated list of places the result goes to
4885f6         test rsi, rsi
7411           jz stored
store:
488b16         mov rdx, [rsi]
4885d2         test rdx, rdx
7409           jz stored
488902         mov [rdx], rax
4883c608       add rsi, 8
ebef           jmp store
stored:
f6430402       test byte ptr [rbx+4], 2     ; RECORD.jumpIfPositive
7406           jz next
jump:
488b5b38       mov rbx, [rbx+56]
ebb7           jmp loop
next:
4883c348       add rbx, 72
ebb1           jmp loop
failed:
8b4b04         mov ecx, [rbx+4]             ; flags
f6c101         test cl, 1                   ; RECORD.ignoreError
75f2           jnz next
f6c104         test cl, 4                   ; RECORD.jumpOnError
7409           jz fatal
c1e910         shr ecx, 16                  ; the errno it is meant for, 0 for any
74e2           jz jump
01c1           add ecx, eax
74de           jz jump
fatal:
bf00000010     mov edi, 0x10000000          ; PROGRAM_ADDRESS
48891f         mov [rdi], rbx               ; header: which record
48894708       mov [rdi+8], rax             ; header: -errno
6a7d           push 125                     ; SETUP_FAILED
5f             pop rdi
b8e7000000     mov eax, 231                 ; exit_group
0f05           syscall
`,
  arm64: `
_start:
0000a2d2       mov x0, #0x10000000          ; PROGRAM_ADDRESS
0180a0d2       mov x1, #0x4000000           ; PROGRAM_SPACE
620080d2       mov x2, #3                   ; PROT_READ | PROT_WRITE
230280d2       mov x3, #0x11                ; MAP_SHARED | MAP_FIXED
640080d2       mov x4, #3                   ; the descriptor of the program
050080d2       mov x5, #0
c81b80d2       mov x8, #222                 ; mmap
010000d4       svc #0
f40300aa       mov x20, x0
13000191       add x19, x0, #64             ; the first record follows the header
loop:
680240b9       ldr w8, [x19]                ; number, then six arguments
608640a9       ldp x0, x1, [x19, #8]
628e41a9       ldp x2, x3, [x19, #24]
649642a9       ldp x4, x5, [x19, #40]
010000d4       svc #0
690640b9       ldr w9, [x19, #4]            ; flags
a001f8b7       tbnz x0, #63, failed
400100b4       cbz x0, next                 ; zero is never stored: both sides of a clone share the program
6a2240f9       ldr x10, [x19, #64]          ; zero-terminated list of places the result goes to
aa0000b4       cbz x10, stored
store:
4b8540f8       ldr x11, [x10], #8
6b0000b4       cbz x11, stored
600100f9       str x0, [x11]
fdffff17       b store
stored:
69000836       tbz w9, #1, next             ; RECORD.jumpIfPositive
jump:
731e40f9       ldr x19, [x19, #56]
f0ffff17       b loop
next:
73220191       add x19, x19, #72
eeffff17       b loop
failed:
c9ff0737       tbnz w9, #0, next            ; RECORD.ignoreError
a9001036       tbz w9, #2, fatal            ; RECORD.jumpOnError
297d1053       lsr w9, w9, #16              ; the errno it is meant for, 0 for any
29ffff34       cbz w9, jump
3f01002b       cmn w9, w0
e0feff54       b.eq jump
fatal:
930200a9       stp x19, x0, [x20]           ; header: which record, -errno
a00f80d2       mov x0, #125                 ; SETUP_FAILED
c80b80d2       mov x8, #94                  ; exit_group
010000d4       svc #0
`,
};

const LOAD_ADDRESS = 0x400000;
const ELF_MACHINE: Readonly<Record<MachineArch, number>> = { x64: 62, arm64: 183 };
const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;

/** The machine code alone. */
export function initCode(arch: MachineArch): Buffer {
  const instructions = LISTINGS[arch]
    .trim()
    .split('\n')
    .filter((line) => !line.endsWith(':'));
  return Buffer.from(instructions.map((line) => line.split(' ', 1)[0] ?? '').join(''), 'hex');
}

/** The static ELF executable: one read-only, executable segment. */
export function initImage(arch: MachineArch): Buffer {
  const code = initCode(arch);
  const headerBytes = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;
  const size = headerBytes + code.length;
  const image = Buffer.alloc(size);
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  image.writeUInt16LE(2, 16); // ET_EXEC
  image.writeUInt16LE(ELF_MACHINE[arch], 18);
  image.writeUInt32LE(1, 20);
  image.writeBigUInt64LE(BigInt(LOAD_ADDRESS + headerBytes), 24);
  image.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32);
  image.writeUInt16LE(ELF_HEADER_BYTES, 52);
  image.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  image.writeUInt16LE(1, 56);
  const segment = image.subarray(ELF_HEADER_BYTES);
  segment.writeUInt32LE(1, 0); // PT_LOAD
  segment.writeUInt32LE(5, 4); // readable, executable
  segment.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 16);
  segment.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 24);
  segment.writeBigUInt64LE(BigInt(size), 32);
  segment.writeBigUInt64LE(BigInt(size), 40);
  segment.writeBigUInt64LE(0x10000n, 48);
  image.set(code, headerBytes);
  return image;
}
