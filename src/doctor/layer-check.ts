// `tsbuild doctor --store`: that the records of the store hold together, and that the layers on disk are what their digests say.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { computeDiffID, type SnapshotDirs } from '../diff/layer-tar.ts';
import { lazyNotePath } from '../image/lazy-note.ts';
import type { LayerSum } from '../snapshot/snapshotter.ts';
import { numberColumn, textColumn } from '../store/meta-database.ts';
import type { Store } from '../store/open-store.ts';
import { type Check, checkOf } from './check.ts';
import { sizeText } from './store-checks.ts';

type CheckedStore = Pick<Store, 'root' | 'db' | 'snapshotter'>;

/** SQLite's own checks of meta.db. */
export function checkDatabase({ root, db }: CheckedStore): Check {
  const check = checkOf('database');
  const damage = db.all('PRAGMA integrity_check').map((row) => textColumn(row, 'integrity_check'));
  const loose = db.all('PRAGMA foreign_key_check').map((row) => `a row of ${textColumn(row, 'table')} leads nowhere`);
  const problems = [...damage.filter((text) => text !== 'ok'), ...new Set(loose)];
  if (problems.length === 0) return check.ok('sound');
  return check.blocked(problems.join('; '), `remove the store, builds fill it again: rm -r ${root}`);
}

/**
 * Every snapshot's directory is there, and digests as it did when it was made. A layer that was pulled is not digested:
 * its digest is that of the archive it came in.
 */
export function checkLayers({ root, db, snapshotter }: CheckedStore): Check {
  const check = checkOf('layers');
  const rows = db.all(
    `SELECT min(snapshots.id) AS id, directory, diff_id, max(coalesce(chain_id, '') LIKE 'sha256:%') AS is_pulled
     FROM snapshots JOIN directories ON directories.id = directory GROUP BY directory ORDER BY directory`,
  );
  const damaged: string[] = [];
  let [count, bytes] = [0, 0];
  for (const row of rows) {
    const directory = numberColumn(row, 'directory').toString(36);
    const name = numberColumn(row, 'id').toString(36);
    const path = join(root, 'snapshots', directory);
    const isHere = (): boolean => snapshotter.exists(name);
    if (!existsSync(join(path, 'fs'))) {
      if (isHere()) damaged.push(path);
      continue;
    }
    const { diff_id: diffID } = row;
    if (typeof diffID !== 'string' || numberColumn(row, 'is_pulled') === 1) continue;
    const sum = sumOf(() => snapshotter.layerDirs(name));
    if (sum === undefined) continue;
    if (sum === 'gone' || sum.diffID !== diffID) {
      // Another process may have taken it meanwhile.
      if (isHere()) damaged.push(path);
      continue;
    }
    count += 1;
    bytes += sum.sizeBytes;
  }
  if (damaged.length === 0) return check.ok(`${count} layers, ${sizeText(bytes)}: all are what their digests say`);
  return check.blocked(
    `${damaged.length} of ${rows.length} snapshots are not what their digests say: ${damaged.join(', ')}`,
    'forget what was built, builds make it again: tsbuild prune --all',
  );
}

/** Undefined where a layer it stands on has not been fetched yet. */
function sumOf(dirsOf: () => SnapshotDirs): LayerSum | 'gone' | undefined {
  try {
    const dirs = dirsOf();
    if ([dirs.upperDir, ...dirs.lowerDirs].some((path) => existsSync(lazyNotePath(path)))) return undefined;
    return computeDiffID(dirs);
  } catch {
    return 'gone';
  }
}
