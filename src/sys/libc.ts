// What Node's fs lacks, from libc (extended attributes, device nodes, nanosecond times, pipes).
// Loaded on first use, since binding libc costs some ms that a fully cached build must not pay.
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { encodeName } from './path-bytes.ts';

/** A system call that failed; `code` is the errno's name, such as ENODATA. */
export class SystemCallError extends Error {
  readonly code: string;
  readonly errno: number;

  constructor(call: string, errno: number, subject: string) {
    const code = errnoName(errno);
    super(`${call}: ${code}: ${subject}`);
    this.name = 'SystemCallError';
    this.code = code;
    this.errno = errno;
  }
}

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/** The errno's name, such as EPERM. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
}

/** A string, or bytes that end in NUL. */
type NativePath = string | Buffer;

/** Paths may hold escaped bytes, see path-bytes.ts. */
function native(path: string): NativePath {
  return path.isWellFormed() ? path : Buffer.concat([encodeName(path), Buffer.of(0)]);
}

interface Libc {
  readonly errno: () => number;
  readonly lgetxattr: (path: NativePath, name: string, value: Buffer | null, size: number) => number;
  readonly llistxattr: (path: NativePath, list: Buffer | null, size: number) => number;
  readonly lsetxattr: (path: NativePath, name: string, value: Uint8Array, size: number, flags: number) => number;
  readonly setxattr: (path: NativePath, name: string, value: Uint8Array, size: number, flags: number) => number;
  readonly lremovexattr: (path: NativePath, name: string) => number;
  readonly mknod: (path: NativePath, mode: number, device: bigint) => number;
  readonly utimensat: (dir: number, path: NativePath, times: BigInt64Array, flags: number) => number;
  readonly pipe2: (fds: Int32Array, flags: number) => number;
  readonly socketpair: (domain: number, type: number, protocol: number, fds: Int32Array) => number;
  readonly flock: (fd: number, operation: number) => number;
  readonly openat2: (number: number, dir: number, path: NativePath, how: BigUint64Array, size: number) => number;
  readonly memfd_create: (name: string, flags: number) => number;
}

let bound: Libc | undefined;

function libc(): Libc {
  bound ??= bind();
  return bound;
}

function bind(): Libc {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const library = koffi.load('libc.so.6');
  return {
    errno: () => koffi.errno(),
    lgetxattr: library.func('long lgetxattr(const char *path, const char *name, _Out_ void *value, size_t size)'),
    llistxattr: library.func('long llistxattr(const char *path, _Out_ void *list, size_t size)'),
    lsetxattr: library.func(
      'int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)',
    ),
    setxattr: library.func(
      'int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)',
    ),
    lremovexattr: library.func('int lremovexattr(const char *path, const char *name)'),
    mknod: library.func('int mknod(const char *path, unsigned int mode, uint64_t device)'),
    utimensat: library.func('int utimensat(int dir, const char *path, const int64_t *times, int flags)'),
    pipe2: library.func('int pipe2(_Out_ int *fds, int flags)'),
    socketpair: library.func('int socketpair(int domain, int type, int protocol, _Out_ int *fds)'),
    flock: library.func('int flock(int fd, int operation)'),
    openat2: library.func('long syscall(long number, int dir, const char *path, const uint64_t *how, size_t size)'),
    memfd_create: library.func('int memfd_create(const char *name, unsigned int flags)'),
  };
}

function check(result: number, call: string, subject: string): number {
  if (result < 0) throw new SystemCallError(call, libc().errno(), subject);
  return result;
}

/**
 * Makes a call until its errno can be believed. Between the call and the question V8 may make calls of its own, whose EAGAIN
 * is then what is found; no call that is made this way has such an error.
 */
function settled(call: () => number): { readonly result: number; readonly errno: number } {
  for (;;) {
    const result = call();
    if (result >= 0) return { result, errno: 0 };
    const errno = libc().errno();
    if (errno !== constants.errno.EAGAIN) return { result, errno };
  }
}

/** Value of an extended attribute of the path itself (links are not followed), or undefined when it has none such. */
export function getXattr(path: string, name: string): Buffer | undefined {
  const calls = libc();
  const buffer = Buffer.allocUnsafe(256);
  const found = settled(() => calls.lgetxattr(native(path), name, buffer, buffer.length));
  if (found.result >= 0) return Buffer.from(buffer.subarray(0, found.result));
  const { errno } = found;
  if (errno === constants.errno.ENODATA || errno === constants.errno.EOPNOTSUPP) return undefined;
  if (errno !== constants.errno.ERANGE) throw new SystemCallError('lgetxattr', errno, path);
  const large = Buffer.allocUnsafe(65536);
  const again = settled(() => calls.lgetxattr(native(path), name, large, large.length));
  if (again.result < 0) throw new SystemCallError('lgetxattr', again.errno, path);
  return Buffer.from(large.subarray(0, again.result));
}

/** Names of the extended attributes of the path itself, in byte order; none where the file system has none. */
export function listXattrs(path: string): readonly string[] {
  const calls = libc();
  let buffer = Buffer.allocUnsafe(1024);
  const list = () => settled(() => calls.llistxattr(native(path), buffer, buffer.length));
  let found = list();
  if (found.errno === constants.errno.ERANGE) {
    buffer = Buffer.allocUnsafe(65536);
    found = list();
  }
  const { result: size, errno } = found;
  if (size < 0 && errno !== constants.errno.EOPNOTSUPP) throw new SystemCallError('llistxattr', errno, path);
  if (size <= 0) return [];
  return buffer
    .toString('utf8', 0, size - 1)
    .split('\0')
    .sort();
}

/** Sets an extended attribute of the path itself, byte for byte. */
export function setXattr(path: string, name: string, value: Uint8Array): void {
  check(libc().lsetxattr(native(path), name, value, value.length, 0), 'lsetxattr', path);
}

/** The same of what an open file is, which `/proc/self/fd/N` leads to. */
export function setXattrOfOpen(fd: number, name: string, value: Uint8Array): void {
  const path = `/proc/self/fd/${fd}`;
  check(libc().setxattr(path, name, value, value.length, 0), 'setxattr', path);
}

/** Removes an extended attribute of the path itself; no error when it is not there. */
export function removeXattr(path: string, name: string): void {
  const calls = libc();
  const { result, errno } = settled(() => calls.lremovexattr(native(path), name));
  if (result < 0 && errno !== constants.errno.ENODATA) throw new SystemCallError('lremovexattr', errno, path);
}

/** File type bits for `makeNode`. */
const NODE_TYPE = { fifo: 0o010000, char: 0o020000, block: 0o060000 } as const;

/** Makes a device node or fifo; the mode is subject to the umask. */
export function makeNode(
  path: string,
  type: keyof typeof NODE_TYPE,
  mode: number,
  device: { major: number; minor: number },
): void {
  check(libc().mknod(native(path), NODE_TYPE[type] | mode, deviceNumber(device)), 'mknod', path);
}

/** glibc's makedev. */
function deviceNumber({ major, minor }: { major: number; minor: number }): bigint {
  const high = BigInt(major);
  const low = BigInt(minor);
  return ((high & 0xfffn) << 8n) | ((high & ~0xfffn) << 32n) | (low & 0xffn) | ((low & ~0xffn) << 12n);
}

/** The major and minor number in a stat's `rdev`. */
export function splitDevice(rdev: number): { readonly major: number; readonly minor: number } {
  const value = BigInt(rdev);
  return {
    major: Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & ~0xfffn)),
    minor: Number((value & 0xffn) | ((value >> 12n) & ~0xffn & 0xffffffffn)),
  };
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;

/** Sets the times of the path itself, in ns since the epoch. */
export function setTimesNs(path: string, atimeNs: bigint, mtimeNs: bigint): void {
  const times = new BigInt64Array([...splitNs(atimeNs), ...splitNs(mtimeNs)]);
  check(libc().utimensat(AT_FDCWD, native(path), times, AT_SYMLINK_NOFOLLOW), 'utimensat', path);
}

/** The same of what an open file is. */
export function setTimesOfOpenNs(fd: number, atimeNs: bigint, mtimeNs: bigint): void {
  const times = new BigInt64Array([...splitNs(atimeNs), ...splitNs(mtimeNs)]);
  const path = `/proc/self/fd/${fd}`;
  check(libc().utimensat(AT_FDCWD, path, times, 0), 'utimensat', path);
}

/** Seconds and the nanoseconds above them, as struct timespec has it. */
export function splitNs(ns: bigint): [bigint, bigint] {
  const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return [(ns - rest) / 1_000_000_000n, rest];
}

const O_CLOEXEC = 0o2000000;
/** The same on all machines. */
const OPENAT2 = 437;
const RESOLVE_NO_SYMLINKS = 4n;
const HOW_BYTES = 24;

/**
 * Opens a path no part of which may be a symbolic link (ELOOP); never waits for a pipe. The caller closes it. See openat2(2).
 * Throws SystemCallError; ENOSYS or EPERM also where the call itself is not to be had, as in some containers.
 */
export function openNoLinks(path: string, flags: number): number {
  const how = BigUint64Array.of(BigInt(flags | O_CLOEXEC), 0n, RESOLVE_NO_SYMLINKS);
  const { result, errno } = settled(() => libc().openat2(OPENAT2, AT_FDCWD, native(path), how, HOW_BYTES));
  if (result < 0) throw new SystemCallError('openat2', errno, path);
  return result;
}

/** A real pipe (Node's own 'pipe' is a socket pair, which cannot be opened through /dev/stdout). The caller closes both ends. */
export function makePipe(): { readonly readFd: number; readonly writeFd: number } {
  const fds = new Int32Array(2);
  check(libc().pipe2(fds, O_CLOEXEC), 'pipe2', 'pipe');
  return { readFd: fds[0] ?? -1, writeFd: fds[1] ?? -1 };
}

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0o2000001;

/** Two ends of a local connection. The caller closes both. */
export function makeSocketPair(): readonly [number, number] {
  const fds = new Int32Array(2);
  check(libc().socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, fds), 'socketpair', 'socket');
  return [fds[0] ?? -1, fds[1] ?? -1];
}

const LOCK = { shared: 1, exclusive: 2 } as const;
const LOCK_NO_WAIT = 4;

/** Locks an open file without waiting; false when somebody else holds it. The lock ends when the descriptor is closed. */
export function tryLock(fd: number, mode: keyof typeof LOCK): boolean {
  const calls = libc();
  if (calls.flock(fd, LOCK[mode] | LOCK_NO_WAIT) === 0) return true;
  const errno = calls.errno();
  if (errno === constants.errno.EWOULDBLOCK) return false;
  throw new SystemCallError('flock', errno, `descriptor ${fd}`);
}

const MFD_CLOEXEC = 1;
const MFD_EXEC = 0x10;

/** An anonymous file in memory, open for reading and writing. The caller closes it. */
export function makeMemoryFile(name: string, options: { readonly executable?: boolean } = {}): number {
  const calls = libc();
  if (options.executable === true) {
    const fd = calls.memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
    if (fd >= 0 || calls.errno() !== constants.errno.EINVAL) return check(fd, 'memfd_create', name);
  }
  return check(calls.memfd_create(name, MFD_CLOEXEC), 'memfd_create', name); // Kernels before 6.3 do not know MFD_EXEC.
}
