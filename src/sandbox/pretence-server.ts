// Answers the calls of one step's processes as if there were more than one user id. What it does not know, and what
// changes nothing, the kernel answers.
import { constants } from 'node:fs';
import type { FileOwner } from '../sys/recorded-owner.ts';
import { AT_FDCWD, MEMORY, NOFOLLOW, type NotifiedCall, type NotifyingCalls } from './notified-calls.ts';
import { EMPTY_PATH, PretenceFiles, type PlacedPath } from './pretence-files.ts';
import { type PretendedCall, pretendedNumbers } from './pretence-filter.ts';
import { type Answer, EFAULT, PretenceIds, unsigned } from './pretence-ids.ts';
import { PretenceMaker } from './pretence-maker.ts';
import { chownAs, executeAs } from './pretended-ids.ts';

const SET_USER = 0o4000;
const SET_GROUP = 0o2000;
const { S_IFMT, S_IFREG } = constants;

/** For one step; `serve` is called once. */
export class PretenceServer {
  readonly #calls: NotifyingCalls;
  readonly #listenerFd: number;
  readonly #files: PretenceFiles;
  readonly #ids: PretenceIds;
  readonly #maker: PretenceMaker;
  readonly #names: ReadonlyMap<number, PretendedCall>;
  #isInside: boolean | undefined;

  constructor(calls: NotifyingCalls, listenerFd: number) {
    this.#calls = calls;
    this.#listenerFd = listenerFd;
    this.#files = new PretenceFiles(calls);
    this.#ids = new PretenceIds(calls, listenerFd);
    this.#maker = new PretenceMaker({ calls, listenerFd, files: this.#files, ids: this.#ids });
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
      const answer = name === undefined ? undefined : (this.#ids.answer(name, call) ?? this.#fileCall(name, call));
      this.#calls.answer(this.#listenerFd, call.id, answer);
    }
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
        return this.#maker.answer(name, call);
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
    const owner = chownAs(this.#ids.of(call), found.owner ?? { uid: 0, gid: 0 }, ids);
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
    if (found === undefined || (found.mode & S_IFMT) !== S_IFREG || (found.mode & 0o111) === 0) return undefined;
    const ids = this.#ids.of(call);
    const owner = found.owner ?? { uid: 0, gid: 0 };
    const uid = (found.mode & SET_USER) === 0 ? undefined : owner.uid;
    const gid = (found.mode & SET_GROUP) === 0 || (found.mode & 0o010) === 0 ? undefined : owner.gid;
    this.#ids.give(call, executeAs(ids, uid, gid));
    return undefined;
  }
}
