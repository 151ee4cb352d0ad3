// Takes over what processes that have ended left in the store: their active snapshots, leases and unfinished builds.
import type { MetaDatabase } from './meta-database.ts';
import type { Owners } from './owners.ts';

/**
 * Removes the records of dead owners; their directories become garbage for src/gc to sweep. Costs one query when nobody
 * else is recorded. Snapshots kept for debugging stay, as long as a failed step names them.
 */
export function reapDeadOwners(db: MetaDatabase, owners: Owners): void {
  // Nothing is written unless someone died, so that opening a store never waits for another process's writes.
  if (owners.dead().length === 0) return;
  db.transaction(() => {
    for (const owner of owners.dead()) reap(db, owner);
  });
}

/** Forgets this process when it holds nothing any more. */
export function releaseOwner(db: MetaDatabase, owner: number): void {
  db.run(
    `DELETE FROM owners WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM actives WHERE owner = ?1)
     AND NOT EXISTS (SELECT 1 FROM leases WHERE owner = ?1)
     AND NOT EXISTS (SELECT 1 FROM builds WHERE owner = ?1 AND status = 'running')`,
    owner,
  );
}

function reap(db: MetaDatabase, owner: number): void {
  db.run(
    `UPDATE actives SET owner = NULL WHERE owner = ? AND is_kept = 1
     AND EXISTS (SELECT 1 FROM steps WHERE active_key = actives.directory)`,
    owner,
  );
  db.run('UPDATE directories SET is_garbage = 1 WHERE id IN (SELECT directory FROM actives WHERE owner = ?)', owner);
  db.run('DELETE FROM actives WHERE owner = ?', owner);
  db.run('DELETE FROM leases WHERE owner = ?', owner);
  db.run(
    `UPDATE steps SET status = 'interrupted' WHERE status = 'running'
     AND build IN (SELECT id FROM builds WHERE owner = ? AND status = 'running')`,
    owner,
  );
  db.run(`UPDATE builds SET status = 'interrupted' WHERE owner = ? AND status = 'running'`, owner);
  db.run('DELETE FROM owners WHERE id = ?', owner);
}
