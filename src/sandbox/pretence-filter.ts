// The system calls that are answered by a supervisor where a single id is mapped, and the filter that hands them over.
import { BPF, type BpfInstruction, branch, encodeBpf, SECCOMP_DATA, SECCOMP_RETURN, statement } from './bpf.ts';
import type { MachineArch } from './seccomp.ts';
import { syscallNumbers } from './syscall-table.ts';

/** Not every machine has all of them. */
export const PRETENDED_CALLS = [
  'getuid',
  'geteuid',
  'getgid',
  'getegid',
  'getresuid',
  'getresgid',
  'getgroups',
  'setuid',
  'setgid',
  'setreuid',
  'setregid',
  'setresuid',
  'setresgid',
  'setfsuid',
  'setfsgid',
  'setgroups',
  'chown',
  'lchown',
  'fchown',
  'fchownat',
  'stat',
  'lstat',
  'fstat',
  'newfstatat',
  'statx',
  'execve',
  'creat',
  'mkdir',
  'mkdirat',
  'mknod',
  'mknodat',
  'symlink',
  'symlinkat',
] as const;

/** Those that count only when they may make a file, by the position of their flags. */
export const OPEN_CALLS = { open: 1, openat: 2 } as const;

export type PretendedCall = (typeof PRETENDED_CALLS)[number] | keyof typeof OPEN_CALLS;

const AUDIT: Readonly<Record<MachineArch, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };
const O_CREAT = 0o100;

/** struct sock_filter[]: all that is not of the machine's own ABI passes, and means what it means to the kernel. */
export function pretenceFilter(arch: MachineArch): Buffer {
  const numbers = pretendedNumbers(arch);
  const notify = statement(BPF.return, SECCOMP_RETURN.notify);
  const allow = statement(BPF.return, SECCOMP_RETURN.allow);
  const body: BpfInstruction[] = [];
  for (const name of PRETENDED_CALLS) {
    const number = numbers.get(name);
    if (number !== undefined) body.push(branch(BPF.jumpEqual, number, 0, 1), notify);
  }
  for (const [name, flags] of [
    ['open', OPEN_CALLS.open],
    ['openat', OPEN_CALLS.openat],
  ] as const) {
    const number = numbers.get(name);
    if (number === undefined) continue;
    const makes = [
      statement(BPF.loadWord, SECCOMP_DATA.argumentLow(flags)),
      statement(BPF.and, O_CREAT),
      branch(BPF.jumpEqual, 0, 1, 0),
      notify,
      allow,
    ];
    body.push(branch(BPF.jumpEqual, number, 0, makes.length), ...makes);
  }
  return encodeBpf([
    statement(BPF.loadWord, SECCOMP_DATA.arch),
    branch(BPF.jumpEqual, AUDIT[arch], 1, 0),
    allow,
    statement(BPF.loadWord, SECCOMP_DATA.number),
    ...body,
    allow,
  ]);
}

/** Numbers of the calls on a machine. */
export function pretendedNumbers(arch: MachineArch): ReadonlyMap<PretendedCall, number> {
  const all = machineNumbers(arch);
  const found = new Map<PretendedCall, number>();
  for (const name of [...PRETENDED_CALLS, 'open', 'openat'] as const) {
    const number = all.get(name);
    if (number !== undefined) found.set(name, number);
  }
  return found;
}

/** Numbers of all calls of the machine's own ABI. */
export function machineNumbers(arch: MachineArch): ReadonlyMap<string, number> {
  return syscallNumbers(arch === 'x64' ? 'x86_64' : 'aarch64');
}
