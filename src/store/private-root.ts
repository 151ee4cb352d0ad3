// A store is its user's own. Who can write to it decides what later builds are made of, and who can read it sees base images,
// logs and files of build contexts, and programs that steps have made to run as their owner.
import { chmodSync, lstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { makeDirectories } from '../sys/make-directories.ts';

const OF_OTHERS = 0o007;
const WRITABLE_BY_OTHERS = 0o002;
const STICKY = 0o1000;

/**
 * Makes the store's directory, or sees to it that one which is there can be used by its owner and group only. Throws
 * TSB_STORE_FOREIGN for one that another user has, or may have written to.
 */
export function openPrivateRoot(root: string): void {
  const stats = statSync(root, { throwIfNoEntry: false }) ?? made(root);
  // What is no directory is told by whoever makes the first file.
  if (!stats.isDirectory()) return;
  if (stats.uid !== process.geteuid?.()) throw foreignError(root, `belongs to ${ownerText(stats)}`, OWN_HINT);
  if ((stats.mode & OF_OTHERS) === 0) return;
  const isOpen = (stats.mode & WRITABLE_BY_OTHERS) !== 0;
  const isStore = holdsStoreOnly(root);
  // Where the sticky bit is set, as on a file system in memory, nobody can take away what is ours.
  const isKept = isStore || (stats.mode & STICKY) !== 0;
  if (isOpen && !(isKept && holdsOwnOnly(root))) throw openError(root);
  if (!isStore) return;
  chmodSync(root, stats.mode & 0o7777 & ~OF_OTHERS);
  // Somebody may have been faster.
  if (isOpen && !holdsOwnOnly(root)) throw openError(root);
}

/** Another process may make it, too, and another user may have been faster. */
function made(root: string): Stats {
  makeDirectories(root, 0o700);
  return statSync(root);
}

function holdsOwnOnly(root: string): boolean {
  const own = process.geteuid?.();
  return readdirSync(root).every(
    (name) => (lstatSync(join(root, name), { throwIfNoEntry: false })?.uid ?? own) === own,
  );
}

const NAMES = /^(blobs|locks|meta\.db(-wal|-shm)?|mounts|reserve|reuse|runs|snapshots|tmp|user-ids)$/;

/** Whoever named a directory that holds other things, too, did not mean to close it. */
function holdsStoreOnly(root: string): boolean {
  return readdirSync(root).every((name) => NAMES.test(name));
}

const OWN_HINT = 'name a directory of your own with TSBUILD_ROOT';

function ownerText({ uid }: Stats): string {
  return uid === OVERFLOW_UID ? 'another user' : `user ${uid}`;
}

/** What ids beyond the user namespace look like. */
const OVERFLOW_UID = 65534;

function openError(root: string): TsbuildError {
  const hint = `take the right away (chmod o-w ${root}) if you trust what is in there, or name another directory with TSBUILD_ROOT`;
  return foreignError(root, 'can be written by every user', hint);
}

function foreignError(root: string, fact: string, hint: string): TsbuildError {
  return new TsbuildError('TSB_STORE_FOREIGN', `the store "${root}" ${fact}`, { hint });
}
