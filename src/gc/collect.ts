// Mark and sweep. Marking is one transaction: holdings are given up, and what nothing needs any more is doomed.
//
// A doomed snapshot cannot be found by builds that start later, but those that run may have found it before. So it is taken
// only when every lease that was there has ended: each running build holds one, and their numbers grow. Blobs and cache keys
// have no such mark; they are taken while nobody holds a lease, in a transaction, so that no build can begin meanwhile.
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type MetaDatabase, numberColumn, optionalNumberColumn, textColumn } from '../store/meta-database.ts';
import { type ChoiceOptions, chooseHoldings } from './choose.ts';
import { MAY_BE_FORGOTTEN } from './logs.ts';
import { neededBlobs } from './needed-blobs.ts';
import { type GraphOptions, type Holding, StoreGraph } from './store-graph.ts';

interface CollectOptions extends ChoiceOptions, GraphOptions {
  readonly root: string;
  readonly db: MetaDatabase;
  /** False: only what nothing needs anyway is taken. */
  readonly givesUp: boolean;
}

interface Collected {
  /** Cache results, images and copies given up. */
  readonly holdings: number;
  /** Snapshots that wait for running builds to end. */
  readonly waiting: number;
}

/** One round; directories are only marked and go with the next sweep. */
export function collect(options: CollectOptions): Collected {
  return options.db.transaction(() => {
    const { blobs, ...collected } = mark(options);
    for (const path of blobs) rmSync(path, { force: true });
    return collected;
  });
}

/** The blobs that a round would remove. */
export function foreseeBlobs(options: CollectOptions): readonly string[] {
  const { db } = options;
  return db.trial(() => mark(options).blobs);
}

/** The records of a round; blobs are the paths of those to be removed. */
function mark(options: CollectOptions): Collected & { readonly blobs: readonly string[] } {
  const { db, root } = options;
  const graph = new StoreGraph(db, options);
  const chosen = options.givesUp ? chooseHoldings(graph, options) : [];
  for (const holding of chosen) giveUp(db, holding);
  const waiting = takeUnneeded(db, graph.unneeded());
  const canTake = oldestLease(db) === undefined;
  if (canTake) removeUnreachable(db);
  return { holdings: chosen.length, waiting, blobs: canTake ? unneededBlobs(root, db) : [] };
}

function giveUp(db: MetaDatabase, { kind, name, snapshots }: Holding): void {
  switch (kind) {
    case 'result':
      db.run('DELETE FROM cache_records WHERE result = ?', name);
      return;
    case 'image':
      db.run('DELETE FROM images WHERE config_digest = ?', name);
      return;
    case 'copy':
      // Under its name it could be found again.
      for (const id of snapshots) db.run('UPDATE snapshots SET chain_id = NULL WHERE id = ?', id);
  }
}

function oldestLease(db: MetaDatabase): number | undefined {
  return optionalNumberColumn(db.get('SELECT min(id) AS oldest FROM leases') ?? {}, 'oldest');
}

/** Dooms what nothing needs and takes what was doomed before every lease there is; how many are left to wait. */
function takeUnneeded(db: MetaDatabase, unneeded: readonly number[]): number {
  db.run(
    'UPDATE snapshots SET doomed = NULL WHERE doomed IS NOT NULL AND id NOT IN (SELECT value FROM json_each(?))',
    JSON.stringify(unneeded),
  );
  doom(db, unneeded);
  return unneeded.length - takeDoomed(db);
}

/** In a transaction. What is doomed already stays so since then. */
export function doom(db: MetaDatabase, ids: readonly number[]): void {
  const newest = db.get(`SELECT seq FROM sqlite_sequence WHERE name = 'leases'`);
  db.run(
    'UPDATE snapshots SET doomed = ? WHERE doomed IS NULL AND id IN (SELECT value FROM json_each(?))',
    newest === undefined ? 0 : numberColumn(newest, 'seq'),
    JSON.stringify(ids),
  );
}

/** Takes the snapshots that no running build may have found, in a transaction; how many there were. */
export function takeDoomed(db: MetaDatabase): number {
  const taken = db.all(
    'SELECT id, directory FROM snapshots WHERE doomed < ? ORDER BY id DESC',
    oldestLease(db) ?? Number.MAX_SAFE_INTEGER,
  );
  for (const row of taken) takeSnapshot(db, numberColumn(row, 'id'), numberColumn(row, 'directory'));
  return taken.length;
}

/** What stands on it was taken before: it is doomed at the same time at the latest, and has the higher number. */
function takeSnapshot(db: MetaDatabase, id: number, directory: number): void {
  const isNeeded = db.get(
    `SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM snapshots WHERE parent = ?1)
       OR EXISTS (SELECT 1 FROM directories WHERE base = ?1) OR EXISTS (SELECT 1 FROM actives WHERE parent = ?1)`,
    id,
  );
  if (isNeeded !== undefined) return;
  db.run('DELETE FROM snapshots WHERE id = ?', id);
  db.run(
    `UPDATE directories SET is_garbage = 1, base = NULL
     WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM snapshots WHERE directory = ?1)`,
    directory,
  );
}

/** Records that lead nowhere, and blobs that stand for nothing: one part of them each time, unless a build runs. */
export function collectOnePart(root: string, db: MetaDatabase, turn: number): void {
  db.transaction(() => {
    if (oldestLease(db) !== undefined) return;
    const part = turn % (UNREACHABLE.length + 1);
    const statements = UNREACHABLE[part];
    if (statements !== undefined) db.exec(statements);
    else for (const path of unneededBlobs(root, db)) rmSync(path, { force: true });
  });
}

/** To be called while nobody holds a lease, in a transaction. */
function removeUnreachable(db: MetaDatabase): void {
  for (const statements of UNREACHABLE) db.exec(statements);
}

const UNREACHABLE: readonly string[] = [
  `CREATE TEMP TABLE IF NOT EXISTS alive_keys (id INTEGER PRIMARY KEY);
    DELETE FROM alive_keys;
    INSERT INTO alive_keys
      WITH RECURSIVE alive (id) AS (
        SELECT key FROM cache_records
        UNION SELECT source FROM cache_links JOIN alive ON target = alive.id WHERE source > 0
      ) SELECT id FROM alive;
    DELETE FROM cache_links WHERE target NOT IN (SELECT id FROM alive_keys);
    DELETE FROM cache_keys WHERE id NOT IN (SELECT id FROM alive_keys);`,
  `DELETE FROM step_parts WHERE result NOT IN (
      SELECT result FROM steps WHERE result IS NOT NULL
      UNION SELECT value ->> 'result' FROM builds, json_each(quiet_steps) WHERE value ->> 'result' IS NOT NULL);`,
  `DELETE FROM layer_blobs WHERE diff_id NOT IN (SELECT diff_id FROM directories WHERE diff_id IS NOT NULL AND is_garbage = 0)
      AND diff_id NOT IN (SELECT value ->> 'diffID' FROM images, json_each(images.layers));`,
];

function unneededBlobs(root: string, db: MetaDatabase): readonly string[] {
  const needed = neededBlobs(root, db);
  const directory = join(root, 'blobs', 'sha256');
  return readdirSync(directory)
    .filter((name) => !needed.has(name))
    .map((name) => join(directory, name));
}

const DAY_MS = 86_400_000;
const BUILDS_KEPT = 500;
const LOGS_KEPT_DAYS = 30;
const FETCHED_KEPT_DAYS = 7;

/** Rows and files that stand for what is no more: stat caches of gone contexts, reuse pointers, logs of forgotten builds. */
export function collectLeavings({ root, db, nowMs }: { root: string; db: MetaDatabase; nowMs: number }): void {
  db.run('DELETE FROM fetched_files WHERE fetched_at_ms < ?', nowMs - FETCHED_KEPT_DAYS * DAY_MS);
  for (const row of db.all('SELECT root, max(saved_at_ms) AS saved FROM stat_cache GROUP BY root')) {
    const isRecent = numberColumn(row, 'saved') > nowMs - DAY_MS;
    if (!isRecent && !existsSync(textColumn(row, 'root')))
      db.run('DELETE FROM stat_cache WHERE root = ?', textColumn(row, 'root'));
  }
  for (const path of entriesOf(join(root, 'reuse'))) if (isDangling(path, nowMs)) rmSync(path, { force: true });
  db.run(
    `DELETE FROM builds WHERE ${MAY_BE_FORGOTTEN}
     AND (started_at_ms < ? OR id NOT IN (SELECT id FROM builds ORDER BY started_at_ms DESC LIMIT ?))`,
    nowMs - LOGS_KEPT_DAYS * DAY_MS,
    BUILDS_KEPT,
  );
  const isKnown = (id: string): boolean => db.get('SELECT 1 AS found FROM builds WHERE id = ?', id) !== undefined;
  for (const name of readdirSync(join(root, 'runs')))
    if (!isKnown(name)) rmSync(join(root, 'runs', name), { recursive: true, force: true });
}

function entriesOf(directory: string): readonly string[] {
  return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
}

/** A pointer is written whole by a rename, a moment after its snapshot: young ones may be about to be renamed. */
function isDangling(path: string, nowMs: number): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.mtimeMs > nowMs - 60_000) return false;
  try {
    return statSync(join(readFileSync(path, 'utf8'), 'fs'), { throwIfNoEntry: false }) === undefined;
  } catch {
    return true;
  }
}
