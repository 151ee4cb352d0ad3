// The system calls that are answered by a supervisor where a single id is mapped, and the filter that hands them over.
import { BPF, type BpfInstruction, branch, encodeBpf, SECCOMP_DATA, SECCOMP_RETURN, statement } from './bpf.ts';
import type { MachineArch } from './seccomp.ts';
import { syscallNumbers } from './syscall-table.ts';

/** Not every machine has all of them. */
const PRETENDED_CALLS = [
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

const O_CREAT = 0o100;
const PR_SET_KEEPCAPS = 8;
const INT = 0xffffffff;
/** Tells who a process pretends to be, see notified-calls.ts: it is not for the process to change. */
const RLIMIT_LOCKS = 10;
/** Those that count only with one value of an argument: the ones that may make a file, and few of prctl's and of limits. */
const SOME_CALLS = [
  { name: 'open', argument: 1, mask: O_CREAT, value: O_CREAT },
  { name: 'openat', argument: 2, mask: O_CREAT, value: O_CREAT },
  { name: 'prctl', argument: 0, mask: INT, value: PR_SET_KEEPCAPS },
  { name: 'prlimit64', argument: 1, mask: INT, value: RLIMIT_LOCKS },
  { name: 'setrlimit', argument: 0, mask: INT, value: RLIMIT_LOCKS },
  { name: 'getrlimit', argument: 0, mask: INT, value: RLIMIT_LOCKS },
] as const;

/** Every call that a supervisor is asked about. */
export type PretendedCall = (typeof PRETENDED_CALLS)[number] | (typeof SOME_CALLS)[number]['name'];

const AUDIT: Readonly<Record<MachineArch, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };

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
  for (const { name, argument, mask, value } of SOME_CALLS) {
    const number = numbers.get(name);
    if (number === undefined) continue;
    const test = [
      statement(BPF.loadWord, SECCOMP_DATA.argumentLow(argument)),
      statement(BPF.and, mask),
      branch(BPF.jumpEqual, value, 0, 1),
      notify,
      allow,
    ];
    body.push(branch(BPF.jumpEqual, number, 0, test.length), ...test);
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
  for (const name of [...PRETENDED_CALLS, ...SOME_CALLS.map((call) => call.name)]) {
    const number = all.get(name);
    if (number !== undefined) found.set(name, number);
  }
  return found;
}

/** Numbers of all calls of the machine's own ABI. */
export function machineNumbers(arch: MachineArch): ReadonlyMap<string, number> {
  return syscallNumbers(arch === 'x64' ? 'x86_64' : 'aarch64');
}
