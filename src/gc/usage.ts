// What the store takes on disk, by kind, and how much of it could go.
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { MetaDatabase } from '../store/meta-database.ts';
import { chooseHoldings } from './choose.ts';
import { BLOCK_BYTES, DiskUsage } from './measure.ts';
import { StoreGraph } from './store-graph.ts';

export type UsageKind = 'snapshots' | 'blobs' | 'cache mounts' | 'logs' | 'database' | 'other';

export interface KindUsage {
  readonly kind: UsageKind;
  readonly count: number;
  readonly sizeBytes: number;
  /** What `tsbuild prune --all` would free now. */
  readonly reclaimableBytes: number;
}

const KIND_OF: Readonly<Record<string, UsageKind>> = {
  snapshots: 'snapshots',
  blobs: 'blobs',
  mounts: 'cache mounts',
  runs: 'logs',
};
const KINDS: readonly UsageKind[] = ['snapshots', 'blobs', 'cache mounts', 'logs', 'database', 'other'];

/** Bytes by kind, as `du` counts them. Remembers the size of each snapshot in the store. */
export function measureStore(root: string, db: MetaDatabase, nowMs: number): readonly KindUsage[] {
  const usage = new DiskUsage();
  const sizes = new Map(KINDS.map((kind) => [kind, { count: 0, sizeBytes: 0 }]));
  const add = (kind: UsageKind, count: number, sizeBytes: number): void => {
    const before = sizes.get(kind);
    if (before !== undefined) sizes.set(kind, { count: before.count + count, sizeBytes: before.sizeBytes + sizeBytes });
  };
  add('snapshots', namesIn(join(root, 'snapshots')).length, measureSnapshots(root, db, usage));
  // Else SQLite's log is counted, which is gone when the last process has closed the database.
  db.all('PRAGMA wal_checkpoint(TRUNCATE)');
  add('other', 0, ownBytes(root));
  for (const name of namesIn(root)) {
    const path = join(root, name);
    const kind = KIND_OF[name] ?? (name.startsWith('meta.db') ? 'database' : 'other');
    if (kind !== 'snapshots') add(kind, countIn(path, kind), usage.add(path));
  }
  const reclaimable = reclaimableSnapshots(db, nowMs);
  return [...sizes].map(([kind, size]) => ({
    kind,
    ...size,
    reclaimableBytes:
      kind === 'snapshots' ? reclaimable : kind === 'cache mounts' && size.count > 0 ? size.sizeBytes : 0,
  }));
}

/** Bytes of all snapshots, each remembered in the store; a file that several share belongs to the oldest of them. */
function measureSnapshots(root: string, db: MetaDatabase, usage: DiskUsage = new DiskUsage()): number {
  const directory = join(root, 'snapshots');
  const ids = namesIn(directory).map((name) => Number.parseInt(name, 36));
  const sizes = ids.toSorted((a, b) => a - b).map((id) => [id, usage.add(join(directory, id.toString(36)))] as const);
  db.transaction(() => {
    for (const [id, bytes] of sizes) db.run('UPDATE directories SET disk_bytes = ? WHERE id = ?', bytes, id);
  });
  return sizes.reduce((sum, [, bytes]) => sum + bytes, ownBytes(directory));
}

function reclaimableSnapshots(db: MetaDatabase, nowMs: number): number {
  const graph = new StoreGraph(db, { withPulled: true });
  chooseHoldings(graph, { nowMs });
  return graph.unneededBytes();
}

function countIn(path: string, kind: UsageKind): number {
  if (kind === 'blobs') return namesIn(join(path, 'sha256')).length;
  return kind === 'cache mounts' || kind === 'logs' ? namesIn(path).length : 1;
}

function ownBytes(path: string): number {
  return lstatSync(path).blocks * BLOCK_BYTES;
}

function namesIn(path: string): readonly string[] {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? readdirSync(path) : [];
}
