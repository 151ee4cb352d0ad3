// Who files are given to: `--chown` by number, or by name as the tree that the names are looked up in has it.
import { closeSync, fstatSync } from 'node:fs';
import type { Chown, UserRef } from '../../solver/op.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { FileTree } from '../snapshot/file-tree.ts';
import type { FileOwner } from '../sys/recorded-owner.ts';
import { openSource, readFully } from './source-file.ts';

/** Of a file that names are looked up in. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;

/**
 * The owner BuildKit gives (solver/llbsolver/ops/user_linux.go): a user's primary group unless a group is named, the same
 * number for both when the user is a number, and root for a name that is not there.
 */
export function resolveOwner(chown: Chown | undefined, treeOf: (input: number) => FileTree): FileOwner | undefined {
  if (chown === undefined) return undefined;
  const user = chown.user === undefined ? { uid: 0, gid: 0 } : resolveUser(chown.user, treeOf);
  const gid = chown.group === undefined ? user.gid : (resolveGroup(chown.group, treeOf) ?? user.gid);
  return { uid: user.uid, gid };
}

function resolveUser(user: UserRef, treeOf: (input: number) => FileTree): FileOwner {
  if ('id' in user) return { uid: user.id, gid: user.id };
  const fields = findEntry(treeOf(user.input), '/etc/passwd', user.name);
  return { uid: toID(fields?.[2]), gid: toID(fields?.[3]) };
}

function resolveGroup(group: UserRef, treeOf: (input: number) => FileTree): number | undefined {
  if ('id' in group) return group.id;
  const fields = findEntry(treeOf(group.input), '/etc/group', group.name);
  return fields === undefined ? undefined : toID(fields[2]);
}

function findEntry(tree: FileTree, path: string, name: string): readonly string[] | undefined {
  const lines = readText(tree, path).split('\n');
  return lines.map((line) => line.trim().split(':')).find((fields) => fields[0] === name && name !== '');
}

function toID(text: string | undefined): number {
  const id = Number(text ?? '');
  return Number.isInteger(id) && id >= 0 ? id : 0;
}

function readText(tree: FileTree, path: string): string {
  const node = tree.lookup(path, { followLast: true });
  if (node?.type !== 'file' || node.size === 0) return '';
  if (node.size > MAX_TEXT_BYTES) {
    throw new TsbuildError(
      'TSB_COPY_FILE_TOO_LARGE',
      `${path} of the image has ${node.size} bytes; at most 16 MiB are read`,
    );
  }
  const fd = openSource(node);
  try {
    const bytes = Buffer.alloc(fstatSync(fd).size);
    return bytes.toString('utf8', 0, readFully(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}
