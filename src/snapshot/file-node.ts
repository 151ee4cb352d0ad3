// From a stat to a FileNode.
import { constants, lstatSync, readlinkSync, type Stats } from 'node:fs';
import { splitDevice } from '../sys/libc.ts';
import { type FileOwner, ownerOf } from '../sys/recorded-owner.ts';
import { decodeName, toFsPath } from '../sys/path-bytes.ts';
import type { FileNode, FileType } from './file-tree.ts';

const { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } = constants;
const NO_DEVICE = { major: 0, minor: 0 } as const;

/** The stat of the path itself, or undefined when nothing is there. */
export function lstatPath(hostPath: string): Stats | undefined {
  return lstatSync(toFsPath(hostPath), { throwIfNoEntry: false });
}

/** The type in a stat's mode. */
export function fileTypeOf(mode: number): FileType {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 'file';
    case S_IFDIR:
      return 'dir';
    case S_IFLNK:
      return 'symlink';
    case S_IFCHR:
      return 'char';
    case S_IFBLK:
      return 'block';
    case S_IFIFO:
      return 'fifo';
    default:
      return 'socket';
  }
}

/** True for overlayfs's mark of a deleted entry: a character device 0:0. */
export function isWhiteout(stats: Stats): boolean {
  return stats.rdev === 0 && (stats.mode & S_IFMT) === S_IFCHR;
}

/** The target of a symbolic link on the host. */
export function readLink(hostPath: string): string {
  return decodeName(readlinkSync(toFsPath(hostPath), { encoding: 'buffer' }));
}

/** The node of an entry at `path` in a tree whose bytes are at `hostPath`; it belongs to whom it does on disk, or to `owner`. */
export function toFileNode(
  path: string,
  hostPath: string,
  stats: Stats,
  { uid, gid }: FileOwner = ownerOf(hostPath, stats),
): FileNode {
  const type = fileTypeOf(stats.mode);
  return {
    path,
    hostPath,
    type,
    mode: stats.mode & 0o7777,
    uid,
    gid,
    size: type === 'file' ? stats.size : 0,
    mtimeMs: stats.mtimeMs,
    ctimeMs: stats.ctimeMs,
    dev: stats.dev,
    ino: stats.ino,
    nlink: stats.nlink,
    rdev: type === 'char' || type === 'block' ? splitDevice(stats.rdev) : NO_DEVICE,
    linkTarget: type === 'symlink' ? readLink(hostPath) : '',
  };
}
