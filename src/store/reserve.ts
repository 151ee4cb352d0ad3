// Space put by for the store's own records: on a full disk it is given up, so that what a failed build has written can
// still be struck off and removed. It is taken again when the store is opened and there is space.
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Room for the pages of meta.db and its log that the end of a build writes, several times over. */
const RESERVE_BYTES = 1 << 20;

/** True when the space is put by. */
export function hasReserve(root: string): boolean {
  return statSync(reservePath(root), { throwIfNoEntry: false }) !== undefined;
}

/** Puts the space by; on a disk that is full already there is nothing to put by. */
export function makeReserve(root: string): void {
  try {
    // Not zeros only: a file system that compresses would keep nothing of them.
    writeFileSync(reservePath(root), Buffer.alloc(RESERVE_BYTES, 'reserve of '), { mode: 0o600 });
  } catch {
    giveUpReserve(root);
  }
}

/** Frees the space; false when there is none left to free. */
export function giveUpReserve(root: string): boolean {
  if (!hasReserve(root)) return false;
  rmSync(reservePath(root), { force: true });
  return true;
}

function reservePath(root: string): string {
  return join(root, 'reserve');
}
