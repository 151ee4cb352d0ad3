// Files as a step's processes name them, and who owns them: for the supervisor of pretended ids.
import {
  encodePlain,
  encodeSpecial,
  type FileOwner,
  hasPlainRecord,
  OWNER_XATTR,
  parsePlain,
  parseSpecial,
  SPECIAL_OWNER_XATTR,
} from '../sys/recorded-owner.ts';
import { AT_FDCWD, MEMORY, NOFOLLOW, type NotifyingCalls } from './notified-calls.ts';

/** A path in the memory, and whether a link at its end is followed. */
export interface PlacedPath {
  readonly place: number;
  readonly isFollowing: boolean;
}

/** What a file is. */
interface PlacedFile {
  readonly mode: number;
  /** As it was written down; undefined: the kernel's word counts. */
  readonly owner: FileOwner | undefined;
}

/** AT_EMPTY_PATH. */
export const EMPTY_PATH = 0x1000;
const SLASH = 0x2f;
const SET_GROUP = 0o2000;
/** struct stat. */
const STAT = {
  x64: { bytes: 144, mode: 24, uid: 28, gid: 32 },
  arm64: { bytes: 128, mode: 16, uid: 24, gid: 28 },
} as const;
/** struct statx. */
const STATX = { bytes: 256, uid: 20, gid: 24 } as const;
const ROOT = { uid: 0, gid: 0 } as const;

/** For one step; at most one path is located at a time. */
export class PretenceFiles {
  readonly #calls: NotifyingCalls;

  constructor(calls: NotifyingCalls) {
    this.#calls = calls;
  }

  /** The path as seen from here; undefined when there is none. */
  locate(pid: number, directory: number, address: number, flags: number): PlacedPath | undefined {
    const length = this.#calls.readText(pid, address, MEMORY.path);
    if (length === undefined) return undefined;
    const from = (directory | 0) === AT_FDCWD ? `${pid}/cwd` : `${pid}/fd/${directory | 0}`;
    if (length === 0) return (flags & EMPTY_PATH) === 0 ? undefined : this.#descriptor(from);
    const isAbsolute = this.#calls.memory[MEMORY.path] === SLASH;
    const prefix = isAbsolute ? `${pid}/root` : `${from}/`;
    const place = MEMORY.path - prefix.length;
    this.#calls.memory.write(prefix, place, 'latin1');
    return { place, isFollowing: (flags & NOFOLLOW) === 0 };
  }

  /** What is open there. */
  locateDescriptor(pid: number, fd: number): PlacedPath {
    return this.#descriptor(`${pid}/fd/${fd | 0}`);
  }

  #descriptor(path: string): PlacedPath {
    this.#calls.memory.write(`${path}\0`, MEMORY.path, 'latin1');
    return { place: MEMORY.path, isFollowing: true };
  }

  /** Leaves its struct stat in `MEMORY.result`. Undefined when nothing is there, or cannot be seen from here. */
  find({ place, isFollowing }: PlacedPath): PlacedFile | undefined {
    const { memory, arch } = this.#calls;
    const flags = isFollowing ? 0 : NOFOLLOW;
    const [path, result] = [this.#calls.at(place), this.#calls.at(MEMORY.result)];
    if (this.#calls.call('newfstatat', AT_FDCWD, path, result, flags) !== 0) return undefined;
    const mode = memory.readUInt32LE(MEMORY.result + STAT[arch].mode);
    return { mode, owner: this.#readOwner(place, isFollowing, hasPlainRecord(mode)) };
  }

  /** Puts the owner into the struct stat in `MEMORY.result`; its length. */
  patchStat({ uid, gid }: FileOwner): number {
    const { memory, arch } = this.#calls;
    const layout = STAT[arch];
    memory.writeUInt32LE(uid, MEMORY.result + layout.uid);
    memory.writeUInt32LE(gid, MEMORY.result + layout.gid);
    return layout.bytes;
  }

  /** The same for a struct statx, which is made; undefined when it cannot be. */
  makeStatx({ place }: PlacedPath, { uid, gid }: FileOwner, flags: number, mask: number): number | undefined {
    const { memory } = this.#calls;
    const [path, result] = [this.#calls.at(place), this.#calls.at(MEMORY.result)];
    if (this.#calls.call('statx', AT_FDCWD, path, flags, mask, result) !== 0) return undefined;
    memory.writeUInt32LE(uid, MEMORY.result + STATX.uid);
    memory.writeUInt32LE(gid, MEMORY.result + STATX.gid);
    return STATX.bytes;
  }

  /** Writes down who owns the file. Where that cannot be, it stays whose it is. */
  record({ place, isFollowing }: PlacedPath, mode: number, owner: FileOwner): void {
    const isPlain = hasPlainRecord(mode);
    const name = isPlain ? OWNER_XATTR : SPECIAL_OWNER_XATTR;
    if (owner.uid === 0 && owner.gid === 0) this.#calls.removeAttribute(place, name, isFollowing);
    else this.#calls.setAttribute(place, name, isPlain ? encodePlain(owner) : encodeSpecial(owner), isFollowing);
  }

  /** The group that new entries get from their directory, undefined when they do not. */
  groupFromDirectory(path: PlacedPath): number | undefined {
    return this.#inParent(path, (parent) => {
      // Most directories have no record, and then their group is root's.
      if (this.#readOwner(parent.place, true, true) === undefined) return undefined;
      const found = this.find(parent);
      return found !== undefined && (found.mode & SET_GROUP) !== 0 ? (found.owner ?? ROOT).gid : undefined;
    });
  }

  /** Cuts the path after its last slash but for trailing ones, and mends it afterwards. */
  #inParent<T>({ place }: PlacedPath, ask: (parent: PlacedPath) => T): T | undefined {
    const { memory } = this.#calls;
    let end = memory.indexOf(0, place);
    while (end > place && memory[end - 1] === SLASH) end--;
    const slash = memory.lastIndexOf(SLASH, end - 1);
    if (slash < place) return undefined;
    const byte = memory[slash + 1] ?? 0;
    memory[slash + 1] = 0;
    const answer = ask({ place, isFollowing: true });
    memory[slash + 1] = byte;
    return answer;
  }

  #readOwner(place: number, isFollowing: boolean, isPlain: boolean): FileOwner | undefined {
    const name = isPlain ? OWNER_XATTR : SPECIAL_OWNER_XATTR;
    const length = this.#calls.getAttribute(place, name, isFollowing);
    if (length <= 0) return undefined;
    const value = this.#calls.memory.subarray(MEMORY.value, MEMORY.value + length);
    return isPlain ? parsePlain(value) : parseSpecial(value);
  }
}
