// Who owns the files of a store is either the kernel's knowledge or written down beside them (see sys/recorded-owner.ts), and
// what the kernel knows means other ids in each user namespace: what one way of building has made, the others would misread.
// So a store belongs to one of them, which its mark names: `single`, or `several` with the ids that there were. Which ids of
// the machine those are shows in files that were given to some of them, for the kernel translates their owners.
import {
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { isMachineRoot, singleIDFix } from '../sandbox/user-namespace.ts';
import { codeOf } from '../sys/error-code.ts';
import type { FileOwner } from '../sys/recorded-owner.ts';
import { recordsOwners } from '../sys/recorded-owner.ts';
import { openPrivateRoot } from './private-root.ts';
import { withStoreErrors } from './store-errors.ts';

const MARK = 'user-ids';
const ELSEWHERE = 'remove it, or name another directory with TSBUILD_ROOT';
/** Of the machine itself, or of a container that has all its ids. */
const ALL_IDS = '0+4294967295';

/** How this process sees owners. */
interface IDKind {
  /** As the mark has it. */
  readonly text: string;
  /** The last of each range of ids; none where no other process can have other ones. */
  readonly witnesses: readonly FileOwner[];
}

/**
 * Makes the store's directory or sees to it that it is this user's, and that its files were made with the ids that this
 * process has. Throws TSB_STORE_FOREIGN, TSB_STORE_OTHER_IDS, TSB_STORE_….
 */
export function claimStore(root: string): void {
  withStoreErrors(root, () => {
    openPrivateRoot(root);
    // Without a namespace an ordinary user can only look at what has no owners.
    if (process.geteuid?.() === 0) claim(root, ownKind());
  });
}

function claim(root: string, own: IDKind): void {
  const found = markOf(root);
  if (found === own.text) {
    if (own.witnesses.every((owner, index) => testifies(witnessPath(root, index), owner))) return;
    throw otherIDs(root, OTHER_MAPPING);
  }
  const kind = found ?? kindByFiles(root);
  // Earlier versions did not write down which ids there were.
  if (kind !== undefined && kind !== wordOf(own.text)) throw otherIDs(root, differenceOf(kind, own.text));
  try {
    mark(root, own);
  } catch (error) {
    // On a full disk there may be enough to remove.
    if (codeOf(error) !== 'ENOSPC' && codeOf(error) !== 'EDQUOT') throw error;
  }
}

function ownKind(): IDKind {
  if (recordsOwners()) return { text: 'single', witnesses: [] };
  const [uids, gids] = [rangesOf('uid_map'), rangesOf('gid_map')];
  const text = `several ${uids.map(rangeText).join()} ${gids.map(rangeText).join()}`;
  if (text === `several ${ALL_IDS} ${ALL_IDS}`) return { text, witnesses: [] };
  const count = Math.max(uids.length, gids.length);
  const witnesses = Array.from({ length: count }, (_, i) => ({ uid: lastOf(uids, i), gid: lastOf(gids, i) }));
  return { text, witnesses };
}

interface IDRange {
  /** As this process sees it. */
  readonly first: number;
  readonly count: number;
}

/** Without /proc all ids are taken to be there. */
function rangesOf(file: string): readonly IDRange[] {
  try {
    const lines = readFileSync(`/proc/self/${file}`, 'utf8').trim().split('\n');
    return lines.map((line) => {
      const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
      return { first, count };
    });
  } catch {
    return [{ first: 0, count: 4_294_967_295 }];
  }
}

function rangeText({ first, count }: IDRange): string {
  return `${first}+${count}`;
}

function lastOf(ranges: readonly IDRange[], index: number): number {
  const range = ranges[index] ?? ranges.at(-1);
  return range === undefined ? 0 : range.first + range.count - 1;
}

/** Undefined for a store without a mark, or with one that its maker has not come to write. */
function markOf(root: string): string | undefined {
  try {
    return readFileSync(join(root, MARK), 'utf8') || undefined;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** What earlier versions made without a mark, if that can be seen. */
function kindByFiles(root: string): string | undefined {
  const snapshots = join(root, 'snapshots');
  const stats = lstatSync(snapshots, { throwIfNoEntry: false });
  return stats !== undefined && recordsOwners() && holdsOthers(Buffer.from(snapshots), stats) ? 'several' : undefined;
}

/** Whether anything below has another owner. */
function holdsOthers(directory: Buffer, owner: FileOwner): boolean {
  return readdirSync(directory, { encoding: 'buffer', withFileTypes: true }).some((entry) => {
    const path = Buffer.concat([directory, Buffer.from('/'), entry.name]);
    const { uid, gid } = lstatSync(path);
    return uid !== owner.uid || gid !== owner.gid || (entry.isDirectory() && holdsOthers(path, owner));
  });
}

/** The mark comes last: whoever reads it finds the rest. */
function mark(root: string, { text, witnesses }: IDKind): void {
  if (witnesses.length > 0) mkdirSync(join(root, 'locks'), { recursive: true, mode: 0o700 });
  for (const [index, owner] of witnesses.entries()) makeWitness(witnessPath(root, index), owner);
  writeFileSync(join(root, MARK), text, { mode: 0o600 });
}

function makeWitness(path: string, { uid, gid }: FileOwner): void {
  closeSync(openSync(path, 'a', 0o600));
  try {
    chownSync(path, uid, gid);
  } catch {
    // A file system without owners says nothing of them.
    rmSync(path, { force: true });
  }
}

function testifies(path: string, { uid, gid }: FileOwner): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats === undefined || (stats.uid === uid && stats.gid === gid);
}

/** Not beside the mark, where all has to be the user's own. */
function witnessPath(root: string, index: number): string {
  return join(root, 'locks', `ids-${index}`);
}

function wordOf(kind: string): string {
  return kind.replace(/ .*$/, '');
}

const OTHER_MAPPING = 'was made where user and group ids stood for other ones of this machine than they do now';

function differenceOf(found: string, own: string): string {
  if (wordOf(found) === wordOf(own)) return OTHER_MAPPING;
  return wordOf(own) === 'several'
    ? 'was made where a single user id was available, and there are several now'
    : 'was made where several user ids were available, and there is a single one now';
}

function otherIDs(root: string, why: string): TsbuildError {
  return new TsbuildError('TSB_STORE_OTHER_IDS', `the store ${root} ${why}`, {
    // One that has several ids may be used again.
    hint: recordsOwners() && !isMachineRoot() ? `to use it, ${singleIDFix()}; else ${ELSEWHERE}` : ELSEWHERE,
  });
}
