// Numbers of the system calls the sandbox itself makes, and the kernel's constants for their arguments.
import type { MachineArch } from './seccomp.ts';
import { syscallNumbers } from './syscall-table.ts';

/** Calls a program for tsbuild-init may make; all of them exist on x86-64 and arm64 alike. */
export type SyscallName =
  | 'capset'
  | 'chdir'
  | 'clone'
  | 'close'
  | 'close_range'
  | 'dup3'
  | 'eventfd2'
  | 'execve'
  | 'exit_group'
  | 'faccessat'
  | 'fchdir'
  | 'fchmod'
  | 'fchown'
  | 'getpgid'
  | 'getpid'
  | 'ioctl'
  | 'keyctl'
  | 'kill'
  | 'mkdirat'
  | 'mknodat'
  | 'mount'
  | 'mount_setattr'
  | 'move_mount'
  | 'open_tree'
  | 'nanosleep'
  | 'openat'
  | 'openat2'
  | 'pipe2'
  | 'pivot_root'
  | 'ppoll'
  | 'prctl'
  | 'prlimit64'
  | 'read'
  | 'rt_sigaction'
  | 'rt_sigprocmask'
  | 'rt_sigtimedwait'
  | 'seccomp'
  | 'setgroups'
  | 'sendmsg'
  | 'sethostname'
  | 'setns'
  | 'setpgid'
  | 'setresgid'
  | 'setresuid'
  | 'setsid'
  | 'socket'
  | 'symlinkat'
  | 'umask'
  | 'umount2'
  | 'unlinkat'
  | 'unshare'
  | 'utimensat'
  | 'wait4'
  | 'write';

/** Call numbers of a machine. */
export function machineSyscalls(arch: MachineArch): (name: SyscallName) => number {
  const numbers = syscallNumbers(arch === 'x64' ? 'x86_64' : 'aarch64');
  return (name) => {
    const number = numbers.get(name);
    if (number === undefined) throw new Error(`internal error: no system call ${name}`);
    return number;
  };
}

/** Flags of the calls that take a directory's descriptor; `cwd` instead of one is the working directory. */
export const AT = { cwd: -100, removeDir: 0x200, emptyPath: 0x1000, recursive: 0x8000 } as const;

/** Of clone, unshare and setns. */
export const CLONE = {
  /** One table of descriptors for both. */
  files: 0x400,
  newNs: 0x20000,
  newCgroup: 0x2000000,
  newUts: 0x4000000,
  newIpc: 0x8000000,
  newUser: 0x10000000,
  newPid: 0x20000000,
  newNet: 0x40000000,
} as const;

/** Flags of mount(2). */
export const MS = {
  rdonly: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  remount: 0x20,
  bind: 0x1000,
  rec: 0x4000,
  private: 0x40000,
  relatime: 0x200000,
  strictatime: 0x1000000,
} as const;

/** Of fsmount and mount_setattr. */
export const MOUNT_ATTR = {
  rdonly: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  strictatime: 0x20,
  anyAtime: 0x70,
  idmap: 0x100000,
} as const;
/** The last that `close_range` may close. */
export const MAX_FD = 0xffffffff;

/** Flags of open(2), where both machines have the same numbers. */
export const OPEN = {
  rdonly: 0,
  wronly: 1,
  rdwr: 2,
  creat: 0o100,
  excl: 0o200,
  noctty: 0o400,
  append: 0o2000,
  cloexec: 0o2000000,
  path: 0o10000000,
} as const;

/** Operations of prctl(2). */
export const PRCTL = {
  setParentDeathSignal: 1,
  setName: 15,
  setNoNewPrivileges: 38,
  capBsetDrop: 24,
  setSecureBits: 28,
  capAmbient: 47,
  capAmbientClearAll: 4,
} as const;
/** Capabilities stay when the user id changes. */
export const SECBIT_NO_SETUID_FIXUP = 4;

/** Flags of open_tree(2). */
export const OPEN_TREE = { clone: 1, cloexec: 0o2000000 } as const;

/** Flags of move_mount(2). */
export const MOVE_MOUNT = { fromEmptyPath: 0x4, toSymlinks: 0x10, toEmptyPath: 0x40 } as const;

/** How openat2(2) walks a path. */
export const RESOLVE = { noMagicLinks: 0x2, noSymlinks: 0x4, inRoot: 0x10 } as const;

/** Numbers of signals, the same on both machines. */
export const SIGNAL = { kill: 9, pipe: 13, term: 15, chld: 17, ttou: 22 } as const;

/** What rt_sigprocmask is to do with a set. */
export const SIG = { block: 0, unblock: 1, setMask: 2 } as const;
/** No SIGCHLD when a child stops. */
export const SA_NOCLDSTOP = 1;

/** As results have it: positive. */
export const EINTR = 4;

/** A kernel signal set. */
export function signalSet(...signals: readonly number[]): bigint {
  return signals.reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n);
}

/** The type bits of a mode, for mknod. */
export const FILE_TYPE = { regular: 0o100000, char: 0o020000 } as const;

/** umount2: out of sight at once, gone when nobody uses it. */
export const MNT_DETACH = 2;

/** Operation of seccomp(2). */
export const SECCOMP_SET_MODE_FILTER = 1;

/** Leaves speculation as it is, as runc does: a mitigation would slow the process down. */
export const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4;

/** The call's result is a descriptor that a supervisor answers calls through. */
export const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;
/** Once a supervisor has seen a call, only a fatal signal interrupts it. Linux 5.19. */
export const SECCOMP_FILTER_FLAG_WAIT_KILLABLE = 32;

/** A keyring of its own: the user's keys are out of reach. */
export const KEYCTL_JOIN_SESSION_KEYRING = 1;

/** Requests to sockets and terminals. */
export const IOCTL = {
  setInterfaceFlags: 0x8914,
  setForegroundGroup: 0x5410,
  setControllingTerminal: 0x540e,
  setWindowSize: 0x5414,
  lockTerminal: 0x40045431,
} as const;
