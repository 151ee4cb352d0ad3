// What the store takes on disk, by kind, and how much of it could go.
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { MetaDatabase } from '../store/meta-database.ts';
import { chooseHoldings } from './choose.ts';
import { foreseeBlobs } from './collect.ts';
import { measureLogs } from './logs.ts';
import { BLOCK_BYTES, DiskUsage } from './measure.ts';
import { StoreGraph } from './store-graph.ts';

type UsageKind = 'snapshots' | 'blobs' | 'cache mounts' | 'logs' | 'database' | 'other';

interface KindUsage {
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

/** Bytes by kind, as `du` counts them, and what could go. Remembers the size of each snapshot and log in the store. */
export function measureStore(root: string, db: MetaDatabase, nowMs: number): readonly KindUsage[] {
  const { sizes, reclaimableLogBytes } = measureKinds(root, db);
  const mounts = sizes.get('cache mounts') ?? { count: 0, sizeBytes: 0 };
  const reclaimable: Partial<Record<UsageKind, number>> = {
    snapshots: reclaimableSnapshots(db, nowMs),
    blobs: reclaimableBlobs(root, db, nowMs),
    'cache mounts': mounts.count > 0 ? mounts.sizeBytes : 0,
    logs: reclaimableLogBytes,
  };
  return [...sizes].map(([kind, size]) => ({ kind, ...size, reclaimableBytes: reclaimable[kind] ?? 0 }));
}

type Sizes = ReadonlyMap<UsageKind, { readonly count: number; readonly sizeBytes: number }>;

function measureKinds(root: string, db: MetaDatabase): { sizes: Sizes; reclaimableLogBytes: number } {
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
    if (kind === 'logs') add(kind, countIn(path, kind), ownBytes(path));
    else if (kind !== 'snapshots') add(kind, countIn(path, kind), usage.add(path));
  }
  const logs = measureLogs({ root, db }, usage);
  add('logs', 0, logs.sizeBytes);
  return { sizes, reclaimableLogBytes: logs.reclaimableBytes };
}

/** Bytes on disk of the whole store, as `du` counts them; remembers sizes in the store. */
export function totalBytes(root: string, db: MetaDatabase): number {
  return [...measureKinds(root, db).sizes.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
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

/** While a build runs no blob goes. */
function reclaimableBlobs(root: string, db: MetaDatabase, nowMs: number): number {
  const options = { root, db, nowMs, givesUp: true, withPulled: true, withPinned: true };
  const sizes = foreseeBlobs(options).map((path) => lstatSync(path, { throwIfNoEntry: false })?.blocks ?? 0);
  return sizes.reduce((sum, blocks) => sum + blocks * BLOCK_BYTES, 0);
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
