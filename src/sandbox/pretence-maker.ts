// Files that a step's processes make as somebody else than root, or where a directory gives its group to what is made in
// it: made here, so that their owner can be written down before anyone sees them.
import { constants } from 'node:fs';
import { AT_FDCWD, MEMORY, NOFOLLOW, type NotifiedCall, type NotifyingCalls } from './notified-calls.ts';
import type { PretenceFiles, PlacedPath } from './pretence-files.ts';
import type { PretendedCall } from './pretence-filter.ts';
import type { Answer, PretenceIds } from './pretence-ids.ts';

interface Made {
  readonly answer: Answer;
  /** With its type; 0 when nothing was made. */
  readonly mode: number;
}

const EEXIST = 17;
const { O_CREAT, O_EXCL, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } = constants;
const O_CLOEXEC = 0o2000000;
const CREAT_FLAGS = 0o1101; // O_CREAT | O_WRONLY | O_TRUNC

interface PretenceMakerPorts {
  readonly calls: NotifyingCalls;
  readonly listenerFd: number;
  readonly files: PretenceFiles;
  readonly ids: PretenceIds;
}

/** For one step. */
export class PretenceMaker {
  readonly #calls: NotifyingCalls;
  readonly #listenerFd: number;
  readonly #files: PretenceFiles;
  readonly #ids: PretenceIds;

  constructor({ calls, listenerFd, files, ids }: PretenceMakerPorts) {
    this.#calls = calls;
    this.#listenerFd = listenerFd;
    this.#files = files;
    this.#ids = ids;
  }

  /** What root makes in most places is root's, as the kernel has it; all else is made here. */
  answer(name: PretendedCall, call: NotifiedCall): Answer {
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

  #make(call: NotifiedCall, path: PlacedPath | undefined, make: (path: PlacedPath) => Made | undefined): Answer {
    if (path === undefined) return undefined;
    const ids = this.#ids.of(call);
    const group = this.#files.groupFromDirectory(path);
    const owner = { uid: ids.uid[1], gid: group ?? ids.gid[1] };
    if (owner.uid === 0 && owner.gid === 0) return undefined;
    this.#calls.call('umask', this.#calls.umaskOf(call.pid));
    const made = make(path);
    if (made === undefined) return undefined;
    if (made.mode !== 0) this.#files.record({ ...path, isFollowing: false }, made.mode, owner);
    return made.answer;
  }

  #open({ id }: NotifiedCall, { place }: PlacedPath, flags: number, mode: number): Made | undefined {
    const fd = this.#calls.call('openat', AT_FDCWD, this.#calls.at(place), flags | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd === -EEXIST && (flags & O_EXCL) !== 0) return { answer: -EEXIST, mode: 0 };
    if (fd < 0) return undefined;
    const given = this.#calls.giveDescriptor(this.#listenerFd, id, fd, (flags & O_CLOEXEC) !== 0);
    this.#calls.close(fd);
    return { answer: given, mode: S_IFREG };
  }

  #mkdir({ place }: PlacedPath, mode: number): Made | undefined {
    const result = this.#calls.call('mkdirat', AT_FDCWD, this.#calls.at(place), mode);
    return result < 0 ? undefined : { answer: 0, mode: S_IFDIR };
  }

  #mknod({ place }: PlacedPath, mode: number, device: number): Made | undefined {
    const result = this.#calls.call('mknodat', AT_FDCWD, this.#calls.at(place), mode, device);
    const type = mode & S_IFMT;
    return result < 0 ? undefined : { answer: 0, mode: type === 0 || type === S_IFREG ? S_IFREG : S_IFIFO };
  }

  #symlink({ pid }: NotifiedCall, { place }: PlacedPath, target: number): Made | undefined {
    if (this.#calls.readText(pid, target, MEMORY.target) === undefined) return undefined;
    const result = this.#calls.call('symlinkat', this.#calls.at(MEMORY.target), AT_FDCWD, this.#calls.at(place));
    return result < 0 ? undefined : { answer: 0, mode: S_IFLNK };
  }

  #path({ pid }: NotifiedCall, directory: number, address: number, flags: number): PlacedPath | undefined {
    return this.#files.locate(pid, directory, address, flags);
  }
}
