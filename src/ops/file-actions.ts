// The file actions beside copy: making a directory (WORKDIR), making a file (heredocs), removing.
import { closeSync, constants, fchmodSync, openSync } from 'node:fs';
import type { MkdirAction, MkfileAction, RmAction } from '../../solver/op.ts';
import { cleanPath, parentPath } from '../snapshot/tree-path.ts';
import type { UpperWriter } from '../snapshot/upper-writer.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import { type FileOwner, setFileOwner } from '../sys/recorded-owner.ts';
import { writeAllSync } from '../sys/write-all.ts';
import { sourceNotFound } from './content-hash.ts';
import { parentNotADirectory } from './copy-errors.ts';
import { matchBelow, splitWildcards } from './glob.ts';

const ROOT_OWNER: FileOwner = { uid: 0, gid: 0 };

/** A directory that exists, also behind links, is left as it is; every one that is made gets mode and owner. */
export function makeDirectory(writer: UpperWriter, action: MkdirAction, owner: FileOwner = ROOT_OWNER): void {
  const path = writer.view.resolveParent(action.path, { followLast: true });
  if (!action.makeParents && writer.view.lookup(parentPath(path))?.type !== 'dir')
    throw sourceNotFound(parentPath(path));
  try {
    const time = action.timestampMs === undefined ? {} : { mtimeMs: action.timestampMs };
    writer.ensureDir(path, { mode: action.mode & 0o777, ...owner, ...time });
  } catch (cause) {
    throw parentNotADirectory(cleanPath(action.path), cause);
  }
}

/** Links in the path are followed; what is there is replaced. */
export function makeFile(writer: UpperWriter, action: MkfileAction, owner: FileOwner = ROOT_OWNER): void {
  const path = writer.view.resolveParent(action.path, { followLast: true });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const hostPath = writer.place(path);
  const fd = openSync(toFsPath(hostPath), flags, 0o600);
  try {
    writeAllSync(fd, action.data);
    setFileOwner(fd, hostPath, owner);
    fchmodSync(fd, action.mode & 0o777);
  } finally {
    closeSync(fd);
  }
}

/** Removes an entry with all below it; a link itself, not what it leads to. Throws TSB_COPY_SOURCE_NOT_FOUND. */
export function removePath(writer: UpperWriter, action: RmAction): void {
  const { prefix, patterns } = splitWildcards(action.path);
  if (!action.allowWildcard || patterns.length === 0) {
    if (!action.allowNotFound && writer.view.lookup(cleanPath(action.path)) === undefined) {
      throw sourceNotFound(action.path);
    }
    writer.whiteout(cleanPath(action.path));
    return;
  }
  const base = writer.view.lookup(prefix, { followLast: true });
  if (base?.type !== 'dir') return;
  for (const { node } of matchBelow(writer.view, base.path, patterns)) writer.whiteout(node.path);
}
