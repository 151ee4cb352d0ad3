// The limit: after a build that ran something, the store is brought back below its limit, within a small budget of time.
import { lstatSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { tryLockFile } from '../ops/file-lock.ts';
import { numberColumn } from '../store/meta-database.ts';
import type { Store } from '../store/open-store.ts';
import { collect, collectLeavings, collectOnePart } from './collect.ts';
import { knownLogBytes, measureNewLogs, takeLogs } from './logs.ts';
import { BLOCK_BYTES, DiskUsage } from './measure.ts';
import { type MeasuredMount, takeIdleMounts } from './mounts.ts';
import { takeOldest } from './oldest.ts';

interface AfterBuildOptions {
  readonly store: Pick<Store, 'root' | 'db' | 'content'>;
  readonly limitBytes: number;
  readonly nowMs: number;
  /** ms for measuring and marking; removing has the store's own budget. */
  readonly budgetMs: number;
  /** A monotonic clock in ms. */
  readonly now: () => number;
  /** More records than this are not looked at as a whole. Default 4000: some 20 µs each. */
  readonly mostRecordsSeen?: number;
}

/**
 * Marks what goes; directories are removed when the store is closed, now and in later builds. Does nothing while another
 * process collects. Gives the cache mounts it took.
 */
export function collectAfterBuild(options: AfterBuildOptions): readonly MeasuredMount[] {
  const { store, limitBytes, nowMs, budgetMs, now } = options;
  const { root, db } = store;
  const lock = tryLockFile(join(root, 'locks', 'gc'), 'exclusive');
  if (lock === undefined) return [];
  try {
    const deadlineMs = now() + budgetMs;
    measureNew(store, deadlineMs, now);
    let bytesToFree = knownBytes(store, deadlineMs, now) - limitBytes;
    // SQLite's log is there until it is folded in, which would wait for the disk.
    if (bytesToFree > 0) bytesToFree -= foldLog(store);
    const mounts = bytesToFree > 0 ? takeMounts(options, bytesToFree) : [];
    bytesToFree -= sum(mounts.map(({ sizeBytes }) => sizeBytes));
    const hasDoomed = db.get('SELECT 1 AS found FROM snapshots WHERE doomed IS NOT NULL LIMIT 1') !== undefined;
    if (bytesToFree <= 0 && !hasDoomed) return mounts;
    const isAllSeen = free(options, bytesToFree);
    if (bytesToFree > 0 && isAllSeen) {
      limitLogs({ store, limitBytes, nowMs, budgetMs, now });
      foldLog(store);
    }
    if (now() < deadlineMs) collectLeavings({ root, db, nowMs });
    return mounts;
  } finally {
    lock.release();
  }
}

/** As in BuildKit's policy, they go before results: a download can be made again, and nobody has asked for it for days. */
function takeMounts(
  { store: { root, content }, nowMs, budgetMs, now }: AfterBuildOptions,
  bytesToFree: number,
): readonly MeasuredMount[] {
  const deadlineMs = now() + budgetMs / 2;
  return takeIdleMounts({ root, nowMs, bytesToFree, now, deadlineMs, temporaryPath: () => content.temporaryPath() });
}

const MOST_RECORDS_SEEN = 4000;

/** False when time was up before all was looked at that could go. */
function free(
  { store: { root, db }, nowMs, budgetMs, now, mostRecordsSeen = MOST_RECORDS_SEEN }: AfterBuildOptions,
  bytesToFree: number,
): boolean {
  if (db.get('SELECT 1 AS found FROM cache_records LIMIT 1 OFFSET ?', mostRecordsSeen) !== undefined) {
    const deadlineMs = now() + budgetMs / 2;
    const { freed, isStopped } = takeOldest({ db, bytesToFree, shouldStop: () => now() > deadlineMs });
    if (!isStopped) collectOnePart(root, db, Math.floor(nowMs));
    // Else the oldest results are all needed, and what can go is not to be found that way.
    if (freed > 0 || bytesToFree <= 0) return !isStopped;
  }
  collect({ root, db, nowMs, givesUp: bytesToFree > 0, withPulled: true, bytesToFree });
  return true;
}

/**
 * What is left to do when nothing else can go: logs cannot be made again. Cache mounts in use stay; where they alone are
 * beyond the limit, logs could not make up for it.
 */
function limitLogs({ store, limitBytes, budgetMs, now }: AfterBuildOptions): void {
  const deadlineMs = now() + budgetMs;
  const mounts = new DiskUsage(() => now() > deadlineMs).add(join(store.root, 'mounts'));
  const others = mounts > limitBytes ? mounts : 0;
  const bytesToFree = knownBytes(store, deadlineMs, now) - waitingBytes(store) - others - limitBytes;
  if (bytesToFree > 0) takeLogs({ ...store, bytesToFree, shouldStop: () => now() > deadlineMs });
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
     AND id NOT IN (SELECT directory FROM actives WHERE is_kept = 0)`,
  );
  const usage = new DiskUsage(() => now() > deadlineMs);
  for (const row of rows) {
    const id = numberColumn(row, 'id');
    const bytes = usage.add(join(root, 'snapshots', id.toString(36)));
    if (usage.isStopped) return;
    db.run('UPDATE directories SET disk_bytes = ? WHERE id = ?', bytes, id);
  }
  measureNewLogs({ root, db }, usage);
}

/** Counted from records; what lies in `tmp` goes by itself. */
const RECORDED: ReadonlySet<string> = new Set(['snapshots', 'runs', 'tmp']);
/** Where many files may be. */
const LAST: readonly string[] = ['reuse', 'blobs', 'mounts'];

function knownBytes({ root, db }: AfterBuildOptions['store'], deadlineMs: number, now: () => number): number {
  const row = db.get(
    'SELECT total(coalesce(disk_bytes, size_bytes, 0)) AS bytes FROM directories WHERE is_garbage = 0',
  );
  const usage = new DiskUsage(() => now() > deadlineMs);
  const own = [root, ...[...RECORDED].map((name) => join(root, name))];
  const names = readdirSync(root)
    .filter((name) => !RECORDED.has(name))
    .sort((a, b) => LAST.indexOf(a) - LAST.indexOf(b));
  return sum([
    numberColumn(row ?? {}, 'bytes'),
    knownLogBytes({ root, db }, usage),
    ...own.map((path) => lstatSync(path).blocks * BLOCK_BYTES),
    ...names.map((name) => usage.add(join(root, name))),
  ]);
}

/** Bytes of snapshots that go when the builds that run now have ended. */
function waitingBytes({ db }: AfterBuildOptions['store']): number {
  const row = db.get(
    `SELECT total(coalesce(disk_bytes, size_bytes, 0)) AS bytes FROM directories WHERE is_garbage = 0
     AND id IN (SELECT directory FROM snapshots WHERE doomed IS NOT NULL)
     AND id NOT IN (SELECT directory FROM snapshots WHERE doomed IS NULL)`,
  );
  return numberColumn(row ?? {}, 'bytes');
}

/** Folds SQLite's log into the database; bytes freed. */
function foldLog({ root, db }: AfterBuildOptions['store']): number {
  const bytes = (): number => {
    const files = ['meta.db', 'meta.db-wal'].map((name) => lstatSync(join(root, name), { throwIfNoEntry: false }));
    return sum(files.map((stats) => (stats?.blocks ?? 0) * BLOCK_BYTES));
  };
  const before = bytes();
  db.all('PRAGMA wal_checkpoint(TRUNCATE)');
  return before - bytes();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
