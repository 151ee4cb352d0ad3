// A round for stores so large that a picture of all they hold (store-graph.ts) would take longer than a build may wait:
// results go by their last use alone, one after the other, each asked for by index. See collect.ts for what dooming means.
import { type MetaDatabase, numberColumn, optionalNumberColumn, textColumn } from '../store/meta-database.ts';
import { doom, takeDoomed } from './collect.ts';
import { rowID } from './store-graph.ts';

interface TakeOldestOptions {
  readonly db: MetaDatabase;
  readonly bytesToFree: number;
  readonly shouldStop: () => boolean;
}

const PAGE = 200;

interface TakenOldest {
  /** Bytes. */
  readonly freed: number;
  /** It was told to stop before it had freed enough. */
  readonly isStopped: boolean;
}

/** Gives up results that nothing stands on, the longest unused first. */
export function takeOldest({ db, bytesToFree, shouldStop }: TakeOldestOptions): TakenOldest {
  return db.transaction(() => {
    let freed = 0;
    let passed = 0;
    let isStopped = false;
    const isDone = (): boolean => {
      isStopped ||= freed < bytesToFree && shouldStop();
      return isStopped || freed >= bytesToFree;
    };
    for (let rows = oldest(db, passed); rows.length > 0 && !isDone(); rows = oldest(db, passed)) {
      for (const { result, usedAtMs } of rows) {
        if (isDone()) break;
        const bytes = giveUp(db, result, usedAtMs);
        if (bytes === undefined) passed += 1;
        else freed += bytes;
      }
    }
    takeDoomed(db);
    return { freed, isStopped };
  });
}

interface UsedResult {
  readonly result: string;
  readonly usedAtMs: number;
}

/** All that one build used has one time: of that the newest first, for it stands on the others. */
function oldest(db: MetaDatabase, offset: number): readonly UsedResult[] {
  return db
    .all('SELECT result, used_at_ms FROM cache_records ORDER BY used_at_ms, id DESC LIMIT ? OFFSET ?', PAGE, offset)
    .map((row) => ({ result: textColumn(row, 'result'), usedAtMs: numberColumn(row, 'used_at_ms') }));
}

/** Undefined when it stays. */
function giveUp(db: MetaDatabase, result: string, usedAtMs: number): number | undefined {
  if (result === '') return undefined;
  const newest = db.get('SELECT max(used_at_ms) AS used FROM cache_records WHERE result = ?', result);
  const used = optionalNumberColumn(newest ?? {}, 'used');
  // Given up with another record of it.
  if (newest === undefined || newest.used === null) return 0;
  if (used !== usedAtMs || isNeeded(db, result) || hasNamedImage(db, result)) return undefined;
  db.run('DELETE FROM cache_records WHERE result = ?', result);
  db.run(`DELETE FROM images WHERE ${TOP} = ?`, result);
  let freed = 0;
  // And what only stood below it: layers that no record leads to.
  for (let name: string | undefined = result; name !== undefined && !isHeld(db, name); ) {
    const snapshot = db.get(
      `SELECT parent, directory, (SELECT coalesce(disk_bytes, size_bytes, 0) FROM directories WHERE id = directory) AS bytes
       FROM snapshots WHERE id = ?`,
      rowID(name),
    );
    if (snapshot === undefined) break;
    doom(db, [rowID(name)]);
    if (!isUsed(db, numberColumn(snapshot, 'directory'))) freed += numberColumn(snapshot, 'bytes');
    name = optionalNumberColumn(snapshot, 'parent')?.toString(36);
  }
  return freed;
}

/** The snapshot of an image's last layer, which stands on all others; there is an index of it. */
const TOP = `layers ->> '$[#-1].snapshot'`;

function isHeld(db: MetaDatabase, name: string): boolean {
  return (
    isNeeded(db, name) ||
    isThere(db, 'SELECT 1 AS found FROM cache_records WHERE result = ? LIMIT 1', name) ||
    isThere(db, `SELECT 1 AS found FROM images WHERE ${TOP} = ? LIMIT 1`, name) ||
    isThere(db, `SELECT 1 AS found FROM snapshots WHERE id = ? AND chain_id LIKE 'context-mount:%'`, rowID(name))
  );
}

/** Something stands on it that is not doomed, or is being written, or was kept after a failure. */
function isNeeded(db: MetaDatabase, name: string): boolean {
  return isThere(
    db,
    `SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM snapshots WHERE parent = ?1 AND doomed IS NULL)
       OR EXISTS (SELECT 1 FROM directories d JOIN snapshots s ON s.directory = d.id
                  WHERE d.base = ?1 AND d.base IS NOT NULL AND s.doomed IS NULL)
       OR EXISTS (SELECT 1 FROM actives WHERE parent = ?1)
       OR EXISTS (SELECT 1 FROM steps WHERE active_key IS NOT NULL AND parent_snapshot = ?2)`,
    rowID(name),
    name,
  );
}

function hasNamedImage(db: MetaDatabase, name: string): boolean {
  return isThere(
    db,
    `SELECT 1 AS found FROM images WHERE ${TOP} = ?
     AND EXISTS (SELECT 1 FROM tags WHERE tags.config_digest = images.config_digest) LIMIT 1`,
    name,
  );
}

function isUsed(db: MetaDatabase, directory: number): boolean {
  return isThere(db, 'SELECT 1 AS found FROM snapshots WHERE directory = ? AND doomed IS NULL LIMIT 1', directory);
}

function isThere(db: MetaDatabase, query: string, ...values: readonly (string | number)[]): boolean {
  return db.get(query, ...values) !== undefined;
}
