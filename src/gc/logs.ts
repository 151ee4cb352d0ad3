// Logs of builds, runs/<id>/: each is measured once, when its build has ended, and the oldest go first.
//
// Only the files go: the record of the build tells later builds why their steps run.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type MetaDatabase, numberColumn, textColumn } from '../store/meta-database.ts';
import { DiskUsage } from './measure.ts';

/** Of `builds`: it has ended, and no failed step of it can be entered. */
export const MAY_BE_FORGOTTEN = `status <> 'running' AND id NOT IN
  (SELECT build FROM steps JOIN actives ON actives.directory = steps.active_key WHERE is_kept = 1)`;

interface LogPlace {
  readonly root: string;
  readonly db: MetaDatabase;
}

/** Measures logs of ended builds that were not measured before, until the usage is told to stop. */
export function measureNewLogs({ root, db }: LogPlace, usage: DiskUsage): void {
  for (const row of db.all(`SELECT id FROM builds WHERE log_bytes IS NULL AND status <> 'running'`)) {
    const id = textColumn(row, 'id');
    const bytes = usage.add(join(root, 'runs', id));
    if (usage.isStopped) return;
    db.run('UPDATE builds SET log_bytes = ? WHERE id = ?', bytes, id);
  }
}

/** Bytes of all logs: as they were measured, those of running builds as they are now. */
export function knownLogBytes({ root, db }: LogPlace, usage: DiskUsage): number {
  const ended = db.get(`SELECT total(log_bytes) AS bytes FROM builds WHERE status <> 'running'`);
  const running = db.all(`SELECT id FROM builds WHERE status = 'running'`);
  return running.reduce(
    (sum, row) => sum + usage.add(join(root, 'runs', textColumn(row, 'id'))),
    numberColumn(ended ?? {}, 'bytes'),
  );
}

/** Measures all logs anew; their bytes, and how many of them could go. */
export function measureLogs({ root, db }: LogPlace, usage: DiskUsage): { sizeBytes: number; reclaimableBytes: number } {
  const sizes = readdirSync(join(root, 'runs')).map((id) => [id, usage.add(join(root, 'runs', id))] as const);
  db.transaction(() => {
    for (const [id, bytes] of sizes) db.run('UPDATE builds SET log_bytes = ? WHERE id = ?', bytes, id);
  });
  const takable = new Set(
    db.all(`SELECT id FROM builds WHERE ${MAY_BE_FORGOTTEN}`).map((row) => textColumn(row, 'id')),
  );
  const sum = (some: typeof sizes): number => some.reduce((total, [, bytes]) => total + bytes, 0);
  return { sizeBytes: sum(sizes), reclaimableBytes: sum(sizes.filter(([id]) => takable.has(id))) };
}

interface TakeLogsOptions extends LogPlace {
  /** Stop when so many bytes are free; absent: take all that may go. */
  readonly bytesToFree?: number;
  /** Only of builds that began before. */
  readonly startedBeforeMs?: number;
  readonly shouldStop?: () => boolean;
}

/** Removes logs, the oldest first; never those of running builds and of failed steps that are kept. */
export function takeLogs(options: TakeLogsOptions): void {
  const { root, db, bytesToFree = Number.POSITIVE_INFINITY, startedBeforeMs, shouldStop = () => false } = options;
  const rows = db.all(
    `SELECT id FROM builds WHERE ${MAY_BE_FORGOTTEN} AND started_at_ms < ? AND log_bytes IS NOT 0
     ORDER BY started_at_ms, id`,
    startedBeforeMs ?? Number.MAX_VALUE,
  );
  const taken: string[] = [];
  let freed = 0;
  for (const row of rows) {
    if (freed >= bytesToFree || shouldStop()) break;
    const id = textColumn(row, 'id');
    const path = join(root, 'runs', id);
    freed += new DiskUsage().add(path);
    rmSync(path, { recursive: true, force: true });
    taken.push(id);
  }
  db.run('UPDATE builds SET log_bytes = 0 WHERE id IN (SELECT value FROM json_each(?))', JSON.stringify(taken));
}
