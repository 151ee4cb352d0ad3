// Answers the calls of one step's processes as if there were more than one user id. What it does not know, and what
// changes nothing, the kernel answers.
import type { FileOwner } from '../sys/recorded-owner.ts';
import { AT_FDCWD, MEMORY, NOFOLLOW, type NotifiedCall, type NotifyingCalls } from './notified-calls.ts';
import { EMPTY_PATH, PretenceFiles, type PlacedPath } from './pretence-files.ts';
import { type PretendedCall, pretendedNumbers } from './pretence-filter.ts';
import {
  chownAs,
  executeAs,
  type IdChange,
  IdTable,
  type PretendedIds,
  setGroups,
  setID,
  setRealAndEffective,
  setTriple,
} from './pretended-ids.ts';

/** A result, a negative errno, or undefined: the kernel shall make the call. */
type Answer = number | undefined;

const EFAULT = 14;
const EINVAL = 22;
const EEXIST = 17;
const SET_USER = 0o4000;
const SET_GROUP = 0o2000;
const TYPE_BITS = 0o170000;
const FILE = 0o100000;
const DIRECTORY = 0o040000;
const LINK = 0o120000;
const FIFO = 0o010000;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_CLOEXEC = 0o2000000;
const CREAT_FLAGS = 0o1101; // O_CREAT | O_WRONLY | O_TRUNC
const MAX_GROUPS = 1024;

/** For one step; `serve` is called once. */
export class PretenceServer {
  readonly #calls: NotifyingCalls;
  readonly #listenerFd: number;
  readonly #files: PretenceFiles;
  readonly #table = new IdTable();
  readonly #names: ReadonlyMap<number, PretendedCall>;
  #isInside: boolean | undefined;

  constructor(calls: NotifyingCalls, listenerFd: number) {
    this.#calls = calls;
    this.#listenerFd = listenerFd;
    this.#files = new PretenceFiles(calls);
    this.#names = new Map([...pretendedNumbers(calls.arch)].map(([name, number]) => [number, name]));
  }

  /** Until no process is left. */
  serve(): void {
    this.#calls.prepareListener(this.#listenerFd);
    for (;;) {
      const call = this.#calls.next(this.#listenerFd);
      if (call === 'ended') return;
      if (call === undefined) continue;
      // Files are touched only from where the caller sees them: elsewhere its links could lead anywhere.
      this.#isInside ??= this.#calls.enter(call.pid);
      const name = this.#names.get(call.number);
      const answer = name === undefined ? undefined : (this.#idCall(name, call) ?? this.#fileCall(name, call));
      this.#calls.answer(this.#listenerFd, call.id, answer);
    }
  }

  #ids({ pid }: NotifiedCall): PretendedIds {
    return this.#table.of(this.#calls.readNumber(pid) ?? -1);
  }

  #idCall(name: PretendedCall, call: NotifiedCall): Answer {
    const [a, b, c] = call.args.map(unsigned) as [number, number, number];
    switch (name) {
      case 'getuid':
        return this.#ids(call).uid[0];
      case 'geteuid':
        return this.#ids(call).uid[1];
      case 'getgid':
        return this.#ids(call).gid[0];
      case 'getegid':
        return this.#ids(call).gid[1];
      case 'getresuid':
        return this.#tell(call, this.#ids(call).uid);
      case 'getresgid':
        return this.#tell(call, this.#ids(call).gid);
      case 'getgroups':
        return this.#tellGroups(call);
      case 'setuid':
        return this.#change(call, (ids) => setID(ids, 'uid', a));
      case 'setgid':
        return this.#change(call, (ids) => setID(ids, 'gid', a));
      case 'setreuid':
        return this.#change(call, (ids) => setRealAndEffective(ids, 'uid', a, b));
      case 'setregid':
        return this.#change(call, (ids) => setRealAndEffective(ids, 'gid', a, b));
      case 'setresuid':
        return this.#change(call, (ids) => setTriple(ids, 'uid', [a, b, c]));
      case 'setresgid':
        return this.#change(call, (ids) => setTriple(ids, 'gid', [a, b, c]));
      case 'setfsuid':
        return this.#ids(call).uid[1];
      case 'setfsgid':
        return this.#ids(call).gid[1];
      case 'setgroups':
        return this.#takeGroups(call);
      case 'prctl':
        return this.#change(call, (ids) => ({ ...ids, keepsRights: b !== 0 }));
      default:
        return undefined;
    }
  }

  #change(call: NotifiedCall, change: (ids: PretendedIds) => IdChange): Answer {
    const changed = change(this.#ids(call));
    if (typeof changed === 'number') return -changed;
    return this.#calls.writeNumber(call.pid, this.#table.numberOf(changed)) ? 0 : undefined;
  }

  #tell(call: NotifiedCall, ids: readonly number[]): Answer {
    for (const [index, id] of ids.entries()) {
      this.#calls.memory.writeUInt32LE(id, MEMORY.result);
      const address = call.args[index] ?? 0;
      if (!this.#calls.write(this.#listenerFd, call, address, MEMORY.result, 4)) return -EFAULT;
    }
    return 0;
  }

  #tellGroups(call: NotifiedCall): Answer {
    const { groups } = this.#ids(call);
    const [size, address] = call.args;
    if (size === 0) return groups.length;
    if (size < groups.length) return -EINVAL;
    for (const [index, id] of groups.entries()) this.#calls.memory.writeUInt32LE(id, MEMORY.result + 4 * index);
    const isWritten = this.#calls.write(this.#listenerFd, call, address, MEMORY.result, 4 * groups.length);
    return isWritten || groups.length === 0 ? groups.length : -EFAULT;
  }

  #takeGroups(call: NotifiedCall): Answer {
    const [count, address] = call.args;
    if (count > MAX_GROUPS) return -EINVAL;
    if (count > 0 && this.#calls.read(call.pid, address, MEMORY.result, 4 * count) !== 4 * count) return -EFAULT;
    const groups = Array.from({ length: count }, (_, index) =>
      this.#calls.memory.readUInt32LE(MEMORY.result + 4 * index),
    );
    return this.#change(call, (ids) => setGroups(ids, groups));
  }

  #fileCall(name: PretendedCall, call: NotifiedCall): Answer {
    if (this.#isInside !== true) return undefined;
    const [a, b, c, d, e] = call.args;
    switch (name) {
      case 'chown':
        return this.#chown(call, this.#path(call, AT_FDCWD, a, 0), { uid: b, gid: c });
      case 'lchown':
        return this.#chown(call, this.#path(call, AT_FDCWD, a, NOFOLLOW), { uid: b, gid: c });
      case 'fchown':
        return this.#chown(call, this.#files.locateDescriptor(call.pid, a), { uid: b, gid: c });
      case 'fchownat':
        return this.#chown(call, this.#path(call, a, b, e), { uid: c, gid: d });
      case 'stat':
        return this.#stat(call, this.#path(call, AT_FDCWD, a, 0), b);
      case 'lstat':
        return this.#stat(call, this.#path(call, AT_FDCWD, a, NOFOLLOW), b);
      case 'fstat':
        return this.#stat(call, this.#files.locateDescriptor(call.pid, a), b);
      case 'newfstatat':
        return this.#stat(call, this.#path(call, a, b, d), c);
      case 'statx':
        return this.#statx(call, this.#path(call, a, b, c));
      case 'execve':
        return this.#execute(call, this.#path(call, AT_FDCWD, a, 0));
      default:
        return this.#create(name, call);
    }
  }

  #path({ pid }: NotifiedCall, directory: number, address: number, flags: number): PlacedPath | undefined {
    return this.#files.locate(pid, directory, address, flags);
  }

  /** The kernel's own call for the one id there is has all its effects: bits and capabilities go, and errors come. */
  #chown(call: NotifiedCall, path: PlacedPath | undefined, wanted: FileOwner): Answer {
    const found = path === undefined ? undefined : this.#files.find(path);
    if (path === undefined || found === undefined) return undefined;
    const ids = { uid: unsigned(wanted.uid), gid: unsigned(wanted.gid) };
    const owner = chownAs(this.#ids(call), found.owner ?? { uid: 0, gid: 0 }, ids);
    if (typeof owner === 'number') return -owner;
    const flags = path.isFollowing ? 0 : NOFOLLOW;
    const result = this.#calls.call('fchownat', AT_FDCWD, this.#calls.at(path.place), 0, 0, flags);
    if (result < 0) return result;
    this.#files.record(path, found.mode, owner);
    return 0;
  }

  #stat(call: NotifiedCall, path: PlacedPath | undefined, address: number): Answer {
    const owner = path === undefined ? undefined : this.#files.find(path)?.owner;
    if (owner === undefined) return undefined;
    const length = this.#files.patchStat(owner);
    return this.#calls.write(this.#listenerFd, call, address, MEMORY.result, length) ? 0 : -EFAULT;
  }

  #statx(call: NotifiedCall, path: PlacedPath | undefined): Answer {
    const owner = path === undefined ? undefined : this.#files.find(path)?.owner;
    if (path === undefined || owner === undefined) return undefined;
    const [, , flags, mask, address] = call.args;
    const follow = path.isFollowing ? 0 : NOFOLLOW;
    const length = this.#files.makeStatx(path, owner, (flags & ~EMPTY_PATH & ~NOFOLLOW) | follow, mask);
    if (length === undefined) return undefined;
    return this.#calls.write(this.#listenerFd, call, address, MEMORY.result, length) ? 0 : -EFAULT;
  }

  /** The kernel executes it; what is setuid makes another user of the caller. */
  #execute(call: NotifiedCall, path: PlacedPath | undefined): Answer {
    const found = path === undefined ? undefined : this.#files.find(path);
    if (found === undefined || (found.mode & TYPE_BITS) !== FILE || (found.mode & 0o111) === 0) return undefined;
    const ids = this.#ids(call);
    const owner = found.owner ?? { uid: 0, gid: 0 };
    const uid = (found.mode & SET_USER) === 0 ? undefined : owner.uid;
    const gid = (found.mode & SET_GROUP) === 0 || (found.mode & 0o010) === 0 ? undefined : owner.gid;
    const changed = this.#table.numberOf(executeAs(ids, uid, gid));
    if (changed !== this.#table.numberOf(ids)) this.#calls.writeNumber(call.pid, changed);
    return undefined;
  }

  /** What root makes in most places is root's, as the kernel has it; all else is made here. */
  #create(name: PretendedCall, call: NotifiedCall): Answer {
    const [a, b, c, d] = call.args;
    switch (name) {
      case 'open':
        return this.#make(call, this.#path(call, AT_FDCWD, a, 0), (path) => this.#open(call, path, b, c));
      case 'openat':
        return this.#make(call, this.#path(call, a, b, 0), (path) => this.#open(call, path, c, d));
      case 'creat':
        return this.#make(call, this.#path(call, AT_FDCWD, a, 0), (path) => this.#open(call, path, CREAT_FLAGS, b));
      case 'mkdir':
        return this.#make(call, this.#path(call, AT_FDCWD, a, NOFOLLOW), (path) => this.#mkdir(path, b));
      case 'mkdirat':
        return this.#make(call, this.#path(call, a, b, NOFOLLOW), (path) => this.#mkdir(path, c));
      case 'mknod':
        return this.#make(call, this.#path(call, AT_FDCWD, a, NOFOLLOW), (path) => this.#mknod(path, b, c));
      case 'mknodat':
        return this.#make(call, this.#path(call, a, b, NOFOLLOW), (path) => this.#mknod(path, c, d));
      case 'symlink':
        return this.#make(call, this.#path(call, AT_FDCWD, b, NOFOLLOW), (path) => this.#symlink(call, path, a));
      case 'symlinkat':
        return this.#make(call, this.#path(call, b, c, NOFOLLOW), (path) => this.#symlink(call, path, a));
      default:
        return undefined;
    }
  }

  #make(
    call: NotifiedCall,
    path: PlacedPath | undefined,
    make: (path: PlacedPath) => { readonly answer: Answer; readonly mode: number } | undefined,
  ): Answer {
    if (path === undefined) return undefined;
    const ids = this.#ids(call);
    const group = this.#files.groupFromDirectory(path);
    const owner = { uid: ids.uid[1], gid: group ?? ids.gid[1] };
    if (owner.uid === 0 && owner.gid === 0) return undefined;
    this.#calls.call('umask', this.#calls.umaskOf(call.pid));
    const made = make(path);
    if (made === undefined) return undefined;
    if (made.mode !== 0) this.#files.record({ ...path, isFollowing: false }, made.mode, owner);
    return made.answer;
  }

  #open({ id }: NotifiedCall, { place }: PlacedPath, flags: number, mode: number): ReturnType<MakeStep> {
    const fd = this.#calls.call('openat', AT_FDCWD, this.#calls.at(place), flags | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd === -EEXIST && (flags & O_EXCL) !== 0) return { answer: -EEXIST, mode: 0 };
    if (fd < 0) return undefined;
    const given = this.#calls.giveDescriptor(this.#listenerFd, id, fd, (flags & O_CLOEXEC) !== 0);
    this.#calls.close(fd);
    return { answer: given, mode: FILE };
  }

  #mkdir({ place }: PlacedPath, mode: number): ReturnType<MakeStep> {
    const result = this.#calls.call('mkdirat', AT_FDCWD, this.#calls.at(place), mode);
    return result < 0 ? undefined : { answer: 0, mode: DIRECTORY };
  }

  #mknod({ place }: PlacedPath, mode: number, device: number): ReturnType<MakeStep> {
    const result = this.#calls.call('mknodat', AT_FDCWD, this.#calls.at(place), mode, device);
    const type = mode & TYPE_BITS;
    return result < 0 ? undefined : { answer: 0, mode: type === 0 || type === FILE ? FILE : FIFO };
  }

  #symlink({ pid }: NotifiedCall, { place }: PlacedPath, target: number): ReturnType<MakeStep> {
    if (this.#calls.readText(pid, target, MEMORY.target) === undefined) return undefined;
    const result = this.#calls.call('symlinkat', this.#calls.at(MEMORY.target), AT_FDCWD, this.#calls.at(place));
    return result < 0 ? undefined : { answer: 0, mode: LINK };
  }
}

type MakeStep = () => { readonly answer: Answer; readonly mode: number } | undefined;

function unsigned(id: number): number {
  return Number(BigInt.asUintN(32, BigInt(id)));
}
