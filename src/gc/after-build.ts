// The limit: after a build that ran something, the store is brought back below its limit, within a small budget of time.
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { tryLockFile } from '../ops/file-lock.ts';
import { numberColumn } from '../store/meta-database.ts';
import type { Store } from '../store/open-store.ts';
import { collect, collectLeavings } from './collect.ts';
import { DiskUsage } from './measure.ts';

export interface AfterBuildOptions {
  readonly store: Pick<Store, 'root' | 'db'>;
  readonly limitBytes: number;
  readonly nowMs: number;
  /** ms for measuring and marking; removing has the store's own budget. */
  readonly budgetMs: number;
  /** A monotonic clock in ms. */
  readonly now: () => number;
}

/** Marks what goes; directories are removed when the store is closed, now and in later builds. Does nothing while another process collects. */
export function collectAfterBuild({ store, limitBytes, nowMs, budgetMs, now }: AfterBuildOptions): void {
  const { root, db } = store;
  const lock = tryLockFile(join(root, 'locks', 'gc'), 'exclusive');
  if (lock === undefined) return;
  try {
    const deadlineMs = now() + budgetMs;
    measureNew(store, deadlineMs, now);
    const bytesToFree = knownBytes(store, deadlineMs, now) - limitBytes;
    const hasDoomed = db.get('SELECT 1 AS found FROM snapshots WHERE doomed IS NOT NULL LIMIT 1') !== undefined;
    if (bytesToFree <= 0 && !hasDoomed) return;
    collect({ root, db, nowMs, givesUp: bytesToFree > 0, withPulled: true, bytesToFree });
    if (now() < deadlineMs) collectLeavings({ root, db, nowMs });
  } finally {
    lock.release();
  }
}

const LEAST_LIMIT = 10e9;
const SHARE_OF_DISK = 0.1;

/** `TSBUILD_KEEP_STORAGE` in bytes or with a unit, else a tenth of the file system and at least 10 GB; 0 is no limit. */
export function storageLimit(root: string, setting: number | undefined): number {
  if (setting !== undefined) return setting === 0 ? Number.POSITIVE_INFINITY : setting;
  const { blocks, bsize } = statfsSync(root);
  return Math.max(LEAST_LIMIT, blocks * bsize * SHARE_OF_DISK);
}

/** What cannot be measured in time counts by the size of its layer, where that is known. */
function measureNew({ root, db }: AfterBuildOptions['store'], deadlineMs: number, now: () => number): void {
  const rows = db.all(
    `SELECT id FROM directories WHERE disk_bytes IS NULL AND is_garbage = 0
     AND id NOT IN (SELECT directory FROM actives)`,
  );
  const usage = new DiskUsage(() => now() > deadlineMs);
  for (const row of rows) {
    const id = numberColumn(row, 'id');
    const bytes = usage.add(join(root, 'snapshots', id.toString(36)));
    if (usage.isStopped) return;
    db.run('UPDATE directories SET disk_bytes = ? WHERE id = ?', bytes, id);
  }
}

function knownBytes({ root, db }: AfterBuildOptions['store'], deadlineMs: number, now: () => number): number {
  const row = db.get(
    'SELECT total(coalesce(disk_bytes, size_bytes, 0)) AS bytes FROM directories WHERE is_garbage = 0',
  );
  const usage = new DiskUsage(() => now() > deadlineMs);
  return numberColumn(row ?? {}, 'bytes') + usage.add(join(root, 'blobs')) + usage.add(join(root, 'mounts'));
}
