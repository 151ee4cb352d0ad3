// Removes from disk what the store's records call garbage: directories of discarded snapshots and temporary files of
// processes that have ended. Records go last, so a sweep that is cut off anywhere is finished by the next one.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { MetaDatabase } from '../store/meta-database.ts';
import { numberColumn } from '../store/meta-database.ts';
import { isAbandoned, type ProcessIdentity } from '../store/owners.ts';
import { removeTree } from './remove-tree.ts';

interface SweepOptions {
  readonly root: string;
  readonly db: MetaDatabase;
  readonly self: ProcessIdentity;
  readonly budgetMs: number;
  /** A monotonic clock in ms. */
  readonly now: () => number;
}

/** Sweeps until done or until the budget is spent; true when nothing is left. */
export function sweep({ root, db, self, budgetMs, now }: SweepOptions): boolean {
  const deadlineMs = now() + budgetMs;
  const isDone = sweepDirectories({ root, db, deadlineMs, now });
  sweepTemporaryFiles(join(root, 'tmp'), self, { deadlineMs, now });
  return isDone;
}

/** Removes the directories that are recorded as garbage; true when none is left. */
export function sweepDirectories({
  root,
  db,
  deadlineMs,
  now,
}: Pick<SweepOptions, 'root' | 'db' | 'now'> & { readonly deadlineMs: number }): boolean {
  let isDone = true;
  for (const row of db.all('SELECT id FROM directories WHERE is_garbage = 1')) {
    const id = numberColumn(row, 'id');
    if (removeTree(join(root, 'snapshots', id.toString(36)), deadlineMs, now)) {
      db.run('DELETE FROM directories WHERE id = ? AND is_garbage = 1', id);
    } else isDone = false;
  }
  return isDone;
}

/** Directories may be large: of those as much as there is time for. */
function sweepTemporaryFiles(
  directory: string,
  self: ProcessIdentity,
  { deadlineMs, now }: { readonly deadlineMs: number; readonly now: () => number },
): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (!isAbandoned(entry.name, self)) continue;
    const path = join(directory, entry.name);
    if (entry.isDirectory()) removeTree(path, deadlineMs, now);
    else rmSync(path, { force: true });
  }
}
