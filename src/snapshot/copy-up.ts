// Copying an entry from an older directory of a stack into the newest one, as overlayfs does before it writes.
import { chmodSync, constants, copyFileSync, lstatSync, mkdirSync, readlinkSync, symlinkSync } from 'node:fs';
import { getXattr, listXattrs, makeNode, setTimesNs, setTimesOfOpenNs, setXattr, splitDevice } from '../sys/libc.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import { hasPlainRecord, ownerOf, setOwner } from '../sys/recorded-owner.ts';
import { fileTypeOf } from './file-node.ts';
import { isOverlayXattr } from './root-view.ts';

/** What a new directory gets. */
export interface DirectoryAttributes {
  /** 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** ms since the epoch; absent leaves the time of its last write. */
  readonly mtimeMs?: number;
}

/** Makes an entry at `to` (nothing is there yet) like the one at `from`: type, bytes, mode, owner, xattrs, times. A directory comes without its entries. */
export function copyUpEntry(from: string, to: string): void {
  const stats = lstatSync(toFsPath(from), { bigint: true });
  const mode = Number(stats.mode);
  makeLike(from, to, mode, Number(stats.rdev));
  const owner = ownerOf(from, { mode, uid: Number(stats.uid), gid: Number(stats.gid) });
  setOwner(to, owner, hasPlainRecord(mode));
  for (const name of listXattrs(from)) {
    const value = isOverlayXattr(name) ? undefined : getXattr(from, name);
    if (value !== undefined) setXattr(to, name, value);
  }
  if (fileTypeOf(mode) !== 'symlink') chmodSync(toFsPath(to), mode & 0o7777);
  setTimesNs(to, stats.atimeNs, stats.mtimeNs);
}

function makeLike(from: string, to: string, mode: number, rdev: number): void {
  const type = fileTypeOf(mode);
  const source = toFsPath(from);
  const target = toFsPath(to);
  switch (type) {
    case 'dir':
      mkdirSync(target, 0o700);
      return;
    case 'file':
      copyFileSync(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
      return;
    case 'symlink':
      symlinkSync(readlinkSync(source, { encoding: 'buffer' }), target);
      return;
    case 'char':
    case 'block':
    case 'fifo':
      makeNode(to, type, 0o600, splitDevice(rdev));
      return;
    case 'socket':
      throw new Error(`internal error: a socket cannot be copied up: ${from}`);
  }
}

/** Makes an empty directory; its mtime, if given, is the caller's to set once it is filled. */
export function makeDirectory(hostPath: string, attributes: DirectoryAttributes): void {
  const target = toFsPath(hostPath);
  mkdirSync(target, 0o700);
  setOwner(hostPath, attributes, true);
  chmodSync(target, attributes.mode);
}

/** Sets the mtime and atime of the path itself, in ms since the epoch; also before it, which Node's own utimes cannot. */
export function setMtime(hostPath: string, mtimeMs: number): void {
  const ns = toNs(mtimeMs);
  setTimesNs(hostPath, ns, ns);
}

/** The same of what an open file is. */
export function setMtimeOfOpen(fd: number, mtimeMs: number): void {
  const ns = toNs(mtimeMs);
  setTimesOfOpenNs(fd, ns, ns);
}

function toNs(timeMs: number): bigint {
  const seconds = Math.floor(timeMs / 1000);
  return BigInt(seconds) * 1_000_000_000n + BigInt(Math.round((timeMs - seconds * 1000) * 1e6));
}
