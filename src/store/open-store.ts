// Opens the store: lays out its directories, opens meta.db, takes over what dead processes left, and hands out the rooms.
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SqliteCacheStore } from '../cache/sqlite-cache-store.ts';
import { StatCache } from '../cache/stat-cache.ts';
import { DiskContentStore } from '../content/disk-content-store.ts';
import { sweep } from '../gc/sweep.ts';
import { ImageStore } from '../image/image-store.ts';
import { DiskSnapshotter } from '../snapshot/disk-snapshotter.ts';
import { codeOf } from '../sys/error-code.ts';
import { Builds } from './builds.ts';
import { FetchedFiles } from './fetched-files.ts';
import { LayerBlobs } from './layer-blobs.ts';
import { MetaDatabase } from './meta-database.ts';
import { Owners } from './owners.ts';
import { reapDeadOwners, releaseOwner } from './reap.ts';
import { hasReserve, makeReserve } from './reserve.ts';
import { migrate } from './schema.ts';
import { claimStore } from './store-ids.ts';
import { elapsedMs } from '../sys/clock.ts';
import { withStoreErrors } from './store-errors.ts';

/** Everything tsbuild keeps on disk. Several processes share one; whoever opened it closes it. */
export interface Store {
  readonly root: string;
  readonly db: MetaDatabase;
  readonly content: DiskContentStore;
  readonly snapshotter: DiskSnapshotter;
  readonly layerBlobs: LayerBlobs;
  readonly cacheStore: SqliteCacheStore;
  readonly statCache: StatCache;
  readonly images: ImageStore;
  readonly builds: Builds;
  readonly fetchedFiles: FetchedFiles;
  /** Removes what is garbage from disk, for at most the budget in ms; true when nothing is left. */
  sweep(budgetMs: number): boolean;
  /** Saves what was only noted, sweeps garbage for at most the budget (default 150 ms), and closes. May be called twice. */
  close(options?: CloseStoreOptions): void;
}

interface CloseStoreOptions {
  readonly sweepBudgetMs?: number;
  /** The process ends now: SQLite's log is left to the next process, for folding it in would wait for the disk. */
  readonly isExiting?: boolean;
}

/** The defaults are the clock, and a wait that builds can live with. */
export interface OpenStoreOptions {
  /** UTC, ms since the epoch. */
  readonly now?: () => number;
  /** How long to wait for another process's write. */
  readonly busyTimeoutMs?: number;
}

const DIRECTORIES = ['blobs', 'blobs/sha256', 'snapshots', 'runs', 'mounts', 'locks', 'tmp'] as const;
const SWEEP_BUDGET_MS = 150;

/**
 * Throws TSB_STORE_FOREIGN, TSB_STORE_OTHER_IDS, TSB_STORE_READ_ONLY, TSB_STORE_NO_SPACE, TSB_STORE_LOCKED, TSB_STORE_CORRUPT,
 * TSB_STORE_NEWER.
 */
export function openStore(root: string, options: OpenStoreOptions = {}): Store {
  withStoreErrors(root, () => layOut(root));
  const db = new MetaDatabase(root, join(root, 'meta.db'), options.busyTimeoutMs);
  try {
    migrate(db, root);
    const owners = new Owners(db);
    reapDeadOwners(db, owners);
    return assemble({ root, db, owners, now: options.now ?? Date.now });
  } catch (error) {
    db.close();
    throw error;
  }
}

function layOut(root: string): void {
  claimStore(root);
  // The last one made tells that all are there.
  if (hasReserve(root)) return;
  for (const name of DIRECTORIES) makeDirectory(join(root, name));
  makeReserve(root);
}

/** Not `recursive`: that way Node reports a read-only file system as a missing directory. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const isThere = codeOf(error) === 'EEXIST' && statSync(path).isDirectory();
    if (!isThere) throw error;
  }
}

interface Parts {
  readonly root: string;
  readonly db: MetaDatabase;
  readonly owners: Owners;
  readonly now: () => number;
}

function assemble({ root, db, owners, now }: Parts): Store {
  const cacheStore = new SqliteCacheStore(db, now);
  let isOpen = true;
  const sweepStore = (budgetMs: number): boolean => sweep({ root, db, self: owners.self(), budgetMs, now: elapsedMs });
  return {
    root,
    db,
    content: new DiskContentStore({ root, self: () => owners.self() }),
    snapshotter: new DiskSnapshotter({ root, db, owners, now }),
    layerBlobs: new LayerBlobs(db),
    cacheStore,
    statCache: new StatCache(db, now),
    images: new ImageStore(db, now),
    builds: new Builds({ root, db, owners, now }),
    fetchedFiles: new FetchedFiles(db, now),
    sweep: sweepStore,
    close: ({ sweepBudgetMs = SWEEP_BUDGET_MS, isExiting = false } = {}) => {
      if (!isOpen) return;
      isOpen = false;
      try {
        cacheStore.flushUse();
        sweepStore(sweepBudgetMs);
        if (owners.recorded !== undefined) releaseOwner(db, owners.recorded);
      } finally {
        if (!isExiting) db.close();
      }
    },
  };
}
