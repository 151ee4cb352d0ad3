// What a supervisor of system calls asks of the kernel: the listener's requests, the memory and the files of those who
// wait for an answer. Errors are negative errnos: most of them mean that the kernel shall decide for itself.
import { RawCalls } from '../sys/raw-calls.ts';
import { machineNumbers } from './pretence-filter.ts';
import type { MachineArch } from './seccomp.ts';

/** A call that waits to be answered. */
export interface NotifiedCall {
  readonly id: bigint;
  readonly pid: number;
  readonly number: number;
  /** As signed 64-bit numbers: -1 and AT_FDCWD are exact, and what is not is no address, id or descriptor. */
  readonly args: readonly [number, number, number, number, number, number];
}

/** Offsets in a supervisor's memory, of what calls are given and what they answer. */
export const MEMORY = {
  request: 0,
  response: 128,
  addFd: 192,
  ownVector: 256,
  theirVector: 288,
  limit: 320,
  poll: 352,
  timeout: 368,
  message: 384,
  ioctlWord: 504,
  name: 512,
  value: 640,
  /** Results that go to the caller; up to 1024 words. */
  result: 1024,
  path: 8256,
  target: 16384,
  status: 24576,
} as const;
const MEMORY_BYTES = 32768;
const PATH_BYTES = 4096;
const PAGE = 4096;
const STATUS_BYTES = 4096;
const VALUE_BYTES = 64;

const IOCTL = { receive: 0xc0502100, send: 0xc0182101, isValid: 0x40082102, addFd: 0x40182103, flags: 0x40082104 };
const RESPOND_CONTINUE = 1;
const SYNC_WAKE_UP = 1;
const POLLIN = 1;
const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x20000;
const O_PATH_CLOEXEC = 0o12000000;
const O_CLOEXEC = 0o2000000;
/** No lock is counted against this limit since Linux 2.4, and processes inherit it: it tells who they pretend to be. */
const RLIMIT_LOCKS = 10;
const LIMIT_BASE = 0x7462_0000_0000n;
const LIMIT_NUMBERS = 0x1_0000_0000n;

/** Instead of a directory's descriptor: the working directory. */
export const AT_FDCWD = -100;

/** AT_SYMLINK_NOFOLLOW. */
export const NOFOLLOW = 0x100;
const WAIT_NS = 100_000_000;

/** One for a thread. */
export class NotifyingCalls {
  readonly arch: MachineArch;
  readonly memory: Buffer;
  readonly #raw: RawCalls;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #procFd: number;
  readonly #rootFd: number;
  readonly #namespaceFd: number;

  constructor(arch: MachineArch) {
    this.arch = arch;
    this.#numbers = machineNumbers(arch);
    this.#raw = new RawCalls(this.#number('mmap'), MEMORY_BYTES);
    this.memory = this.#raw.memory;
    this.#procFd = this.#open('/proc', O_PATH_CLOEXEC);
    this.#rootFd = this.#open('/', O_PATH_CLOEXEC);
    this.#namespaceFd = this.#open('/proc/thread-self/ns/mnt', O_CLOEXEC);
    // From here on the directory, the root and the umask are this thread's own.
    const result = this.call('unshare', CLONE_FS);
    if (result < 0) throw new Error(`internal error: unshare: ${result}`);
    this.call('fchdir', this.#procFd);
  }

  call(name: string, ...args: readonly number[]): number {
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
    return this.#raw.call(this.#number(name), a, b, c, d, e, f);
  }

  at(place: number): number {
    return this.#raw.at(place);
  }

  close(fd: number): void {
    this.call('close', fd);
  }

  /** The descriptor that comes through the socket, which is closed; undefined when there is none. */
  receiveListener(socketFd: number): number | undefined {
    try {
      while (!this.#isReady(socketFd));
      const { memory } = this;
      const [vector, byte, control] = [MEMORY.message + 56, MEMORY.message + 72, MEMORY.message + 80];
      memory.fill(0, MEMORY.message, MEMORY.ioctlWord);
      this.#words(vector, [this.at(byte), 1]);
      this.#words(MEMORY.message, [0, 0, this.at(vector), 1, this.at(control), 24, 0]);
      const received = this.call('recvmsg', socketFd, this.at(MEMORY.message), O_CLOEXEC_MESSAGE);
      if (received <= 0 || memory.readUInt32LE(MEMORY.message + 40) < 20) return undefined;
      return memory.readInt32LE(control + 16);
    } finally {
      this.close(socketFd);
    }
  }

  /** Goes where the process is; paths of /proc stay those of this machine. False when that cannot be. */
  enter(pid: number): boolean {
    const fd = this.#open(`${pid}/ns/mnt`, O_CLOEXEC);
    if (fd < 0) return false;
    const result = this.call('setns', fd, CLONE_NEWNS);
    this.close(fd);
    return this.call('fchdir', this.#procFd) === 0 && result === 0;
  }

  leave(): void {
    this.call('setns', this.#namespaceFd, CLONE_NEWNS);
    this.call('fchdir', this.#rootFd);
    this.memory.write('.\0', MEMORY.path);
    this.call('chroot', this.at(MEMORY.path));
    this.call('fchdir', this.#procFd);
  }

  /** Makes answers quicker where the kernel can. */
  prepareListener(listenerFd: number): void {
    this.call('ioctl', listenerFd, IOCTL.flags, SYNC_WAKE_UP);
  }

  /** The next call; undefined when there is none yet, `ended` when there will be none. */
  next(listenerFd: number): NotifiedCall | 'ended' | undefined {
    const { memory } = this;
    if (!this.#isReady(listenerFd)) return undefined;
    if ((memory.readUInt16LE(MEMORY.poll + 6) & POLLIN) === 0) return 'ended';
    memory.fill(0, MEMORY.request, MEMORY.response);
    if (this.call('ioctl', listenerFd, IOCTL.receive, this.at(MEMORY.request)) < 0) return undefined;
    const argument = (index: number): number => Number(memory.readBigInt64LE(MEMORY.request + 32 + 8 * index));
    return {
      id: memory.readBigUInt64LE(MEMORY.request),
      pid: memory.readUInt32LE(MEMORY.request + 8),
      number: memory.readInt32LE(MEMORY.request + 16),
      args: [argument(0), argument(1), argument(2), argument(3), argument(4), argument(5)],
    };
  }

  /** A result, a negative errno, or undefined: the kernel shall make the call. */
  answer(listenerFd: number, id: bigint, result: number | undefined): void {
    const { memory } = this;
    memory.writeBigUInt64LE(id, MEMORY.response);
    memory.writeBigInt64LE(BigInt(result !== undefined && result >= 0 ? result : 0), MEMORY.response + 8);
    memory.writeInt32LE(result !== undefined && result < 0 ? result : 0, MEMORY.response + 16);
    memory.writeUInt32LE(result === undefined ? RESPOND_CONTINUE : 0, MEMORY.response + 20);
    this.call('ioctl', listenerFd, IOCTL.send, this.at(MEMORY.response));
  }

  /** Puts an own descriptor among the caller's, and returns its number there. */
  giveDescriptor(listenerFd: number, id: bigint, fd: number, isCloseOnExec: boolean): number {
    const { memory } = this;
    memory.fill(0, MEMORY.addFd, MEMORY.addFd + 24);
    memory.writeBigUInt64LE(id, MEMORY.addFd);
    memory.writeUInt32LE(fd, MEMORY.addFd + 12);
    memory.writeUInt32LE(isCloseOnExec ? O_CLOEXEC : 0, MEMORY.addFd + 20);
    return this.call('ioctl', listenerFd, IOCTL.addFd, this.at(MEMORY.addFd));
  }

  /** Copies from the caller's memory; how many bytes. */
  read(pid: number, address: number, place: number, length: number): number {
    return this.#copy('process_vm_readv', pid, address, place, length);
  }

  /** Copies to the memory of whoever still waits for that answer; false when it cannot be written. */
  write(listenerFd: number, { id, pid }: NotifiedCall, address: number, place: number, length: number): boolean {
    this.memory.writeBigUInt64LE(id, MEMORY.ioctlWord);
    if (this.call('ioctl', listenerFd, IOCTL.isValid, this.at(MEMORY.ioctlWord)) !== 0) return false;
    return this.#copy('process_vm_writev', pid, address, place, length) === length;
  }

  /** Reads a text up to its NUL to the place; its length, or undefined when it has no end. */
  readText(pid: number, address: number, place: number): number | undefined {
    for (let length = 0; length < PATH_BYTES; ) {
      const wanted = Math.min(PATH_BYTES - length, PAGE - ((address + length) % PAGE));
      const count = this.read(pid, address + length, place + length, wanted);
      if (count <= 0) return undefined;
      const end = this.memory.subarray(place + length, place + length + count).indexOf(0);
      if (end >= 0) return length + end;
      length += count;
    }
    return undefined;
  }

  /** The number a process and all it starts carry; undefined when it was given none. */
  readNumber(pid: number): number | undefined {
    if (this.call('prlimit64', pid, RLIMIT_LOCKS, 0, this.at(MEMORY.limit)) < 0) return undefined;
    const value = this.memory.readBigUInt64LE(MEMORY.limit) - LIMIT_BASE;
    return value >= 0n && value < LIMIT_NUMBERS ? Number(value) : undefined;
  }

  writeNumber(pid: number, number: number): boolean {
    if (this.call('prlimit64', pid, RLIMIT_LOCKS, 0, this.at(MEMORY.limit)) < 0) return false;
    this.memory.writeBigUInt64LE(LIMIT_BASE + BigInt(number), MEMORY.limit);
    return this.call('prlimit64', pid, RLIMIT_LOCKS, this.at(MEMORY.limit), 0) === 0;
  }

  /** The value's length in `MEMORY.value`, or a negative errno. */
  getAttribute(path: number, name: string, isFollowing: boolean): number {
    const call = isFollowing ? 'getxattr' : 'lgetxattr';
    return this.call(call, this.at(path), this.#name(name), this.at(MEMORY.value), VALUE_BYTES);
  }

  setAttribute(path: number, name: string, value: Buffer, isFollowing: boolean): number {
    value.copy(this.memory, MEMORY.value);
    const call = isFollowing ? 'setxattr' : 'lsetxattr';
    return this.call(call, this.at(path), this.#name(name), this.at(MEMORY.value), value.length, 0);
  }

  removeAttribute(path: number, name: string, isFollowing: boolean): number {
    return this.call(isFollowing ? 'removexattr' : 'lremovexattr', this.at(path), this.#name(name));
  }

  /** What a process takes away from the modes of new files. */
  umaskOf(pid: number): number {
    const fd = this.#open(`${pid}/status`, O_CLOEXEC);
    if (fd < 0) return 0o022;
    const length = this.call('read', fd, this.at(MEMORY.status), STATUS_BYTES);
    this.close(fd);
    const text = this.memory.toString('latin1', MEMORY.status, MEMORY.status + Math.max(length, 0));
    return Number.parseInt(/^Umask:\s*([0-7]+)/m.exec(text)?.[1] ?? '022', 8);
  }

  #copy(call: string, pid: number, address: number, place: number, length: number): number {
    this.#words(MEMORY.ownVector, [this.at(place), length]);
    this.#words(MEMORY.theirVector, [address, length]);
    return this.call(call, pid, this.at(MEMORY.ownVector), 1, this.at(MEMORY.theirVector), 1, 0);
  }

  /** Waits a moment, so that the thread can be ended. */
  #isReady(fd: number): boolean {
    const { memory } = this;
    memory.writeInt32LE(fd, MEMORY.poll);
    memory.writeUInt32LE(POLLIN, MEMORY.poll + 4);
    this.#words(MEMORY.timeout, [0, WAIT_NS]);
    return this.call('ppoll', this.at(MEMORY.poll), 1, this.at(MEMORY.timeout), 0, 8) > 0;
  }

  #name(name: string): number {
    this.memory.write(`${name}\0`, MEMORY.name, 'latin1');
    return this.at(MEMORY.name);
  }

  #open(path: string, flags: number): number {
    this.memory.write(`${path}\0`, MEMORY.status);
    return this.call('openat', AT_FDCWD, this.at(MEMORY.status), flags, 0);
  }

  #words(place: number, words: readonly number[]): void {
    for (const [index, word] of words.entries()) {
      this.memory.writeBigUInt64LE(BigInt.asUintN(64, BigInt(word)), place + 8 * index);
    }
  }

  #number(name: string): number {
    const number = this.#numbers.get(name);
    if (number === undefined) throw new Error(`internal error: no system call ${name}`);
    return number;
  }
}

/** MSG_CMSG_CLOEXEC. */
const O_CLOEXEC_MESSAGE = 0x40000000;
