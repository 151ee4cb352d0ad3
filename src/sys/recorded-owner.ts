// Owners where only one user id is mapped: the kernel then refuses every other owner, so who owns a file is written down
// beside it, in an extended attribute that the file takes along wherever it goes. All that gives owners to files of a
// store, or reads them, does so here.
//
// Files and directories have `user.tsbuild.owner`, "uid:gid". Links, fifos and devices may have no attribute of users,
// but they may have file capabilities, which mean nothing on them: the two sets of bits are the two ids.
import { chownSync, constants, fchownSync, lchownSync, readFileSync } from 'node:fs';
import { getXattr, removeXattr, setXattr, SystemCallError } from './libc.ts';
import { toFsPath } from './path-bytes.ts';

/** Ids as the image has them, not those of the machine. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** Where the owner of a file or directory is written down. */
export const OWNER_XATTR = 'user.tsbuild.owner';
/** Where that of anything else is. */
export const SPECIAL_OWNER_XATTR = 'security.capability';

const { S_IFDIR, S_IFMT, S_IFREG } = constants;
const CAPABILITY_REVISION_2 = 0x02000000;

let isRecording: boolean | undefined;

/** Whether owners are written down: in a user namespace with a single id. */
export function recordsOwners(): boolean {
  isRecording ??= hasSingleID();
  return isRecording;
}

function hasSingleID(): boolean {
  try {
    return isSingleMapping(readFileSync('/proc/self/uid_map', 'utf8'));
  } catch {
    return false; // Without /proc nothing works anyway.
  }
}

/** True for the text of a uid_map with one id. */
function isSingleMapping(text: string): boolean {
  return /^\s*\d+\s+\d+\s+1\s*$/.test(text);
}

/** True for an attribute that says who owns something of that mode, and is no attribute of it. */
export function isOwnerRecord(name: string, isFileOrDirectory: boolean): boolean {
  return name === OWNER_XATTR || (!isFileOrDirectory && name === SPECIAL_OWNER_XATTR);
}

/** True when something of that mode (with its type) has `OWNER_XATTR`. */
export function hasPlainRecord(mode: number): boolean {
  const type = mode & S_IFMT;
  return type === S_IFREG || type === S_IFDIR;
}

/** The owner of what is at the path itself; `stats` are those of the path. */
export function ownerOf(hostPath: string, stats: FileOwner & { readonly mode: number }): FileOwner {
  if (!recordsOwners()) return stats;
  const isPlain = hasPlainRecord(stats.mode);
  const value = getXattr(hostPath, isPlain ? OWNER_XATTR : SPECIAL_OWNER_XATTR);
  return (value && (isPlain ? parsePlain(value) : parseSpecial(value))) ?? stats;
}

/**
 * Gives the path itself, a file or directory or not, to an owner. Throws EINVAL where the kernel has no such ids and owners
 * are not written down.
 */
export function setOwner(hostPath: string, owner: FileOwner, isFileOrDirectory: boolean): void {
  if (recordsOwners()) recordOwner(hostPath, owner, isFileOrDirectory);
  else lchownSync(toFsPath(hostPath), owner.uid, owner.gid);
}

/** The same for a file that is open. */
export function setFileOwner(fd: number, hostPath: string, owner: FileOwner): void {
  if (recordsOwners()) recordOwner(hostPath, owner, true);
  else fchownSync(fd, owner.uid, owner.gid);
}

/** The same for what is no part of a tree, such as a socket: what cannot be given stays one's own. */
export function lendTo(path: string, { uid, gid }: FileOwner): void {
  if (!recordsOwners()) chownSync(path, uid, gid);
}

function recordOwner(hostPath: string, owner: FileOwner, isPlain: boolean): void {
  const name = isPlain ? OWNER_XATTR : SPECIAL_OWNER_XATTR;
  try {
    if (owner.uid === 0 && owner.gid === 0) removeXattr(hostPath, name);
    else setXattr(hostPath, name, isPlain ? encodePlain(owner) : encodeSpecial(owner));
  } catch (error) {
    // A file system without such attributes: the owner is the one mapped.
    if (!(error instanceof SystemCallError && UNSUPPORTED.has(error.code))) throw error;
  }
}

const UNSUPPORTED = new Set(['EOPNOTSUPP', 'ENOTSUP', 'EPERM']);

/** The value of `OWNER_XATTR`. */
export function encodePlain({ uid, gid }: FileOwner): Buffer {
  return Buffer.from(`${uid}:${gid}`);
}

/** The owner in such a value; undefined when it is none. */
export function parsePlain(value: Buffer): FileOwner | undefined {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(value.toString('latin1')) ?? [];
  return uid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

/** The value of `SPECIAL_OWNER_XATTR`, a struct vfs_cap_data: magic, permitted and inheritable (the lower halves), and the upper halves. */
export function encodeSpecial({ uid, gid }: FileOwner): Buffer {
  const value = Buffer.alloc(20);
  value.writeUInt32LE(CAPABILITY_REVISION_2, 0);
  value.writeUInt32LE(uid, 4);
  value.writeUInt32LE(gid, 8);
  return value;
}

/** The owner in such a value; undefined when it is none. */
export function parseSpecial(value: Buffer): FileOwner | undefined {
  return value.length < 20 ? undefined : { uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}
