// Gives up what the store can do without, until it is as small as asked: `tsbuild prune`, and the limit after a build.
import { readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { join } from 'node:path';
import { MOUNT_ID_FILE, mountName } from '../ops/cache-mounts.ts';
import { codeOf } from '../sys/error-code.ts';
import { lockFile, tryLockFile } from '../ops/file-lock.ts';
import type { Store } from '../store/open-store.ts';
import { idleScore } from './choose.ts';
import { collect, collectLeavings } from './collect.ts';
import { MAY_BE_FORGOTTEN, takeLogs } from './logs.ts';
import { DiskUsage } from './measure.ts';
import { sweepDirectories } from './sweep.ts';
import { totalBytes } from './usage.ts';

/** What there is to give up; `snapshot` stands for cache results, images without name and their directories. */
export type PruneType = 'snapshot' | 'mount' | 'log';

/** Without `all` and limits: cache results that no image needs, and leavings of builds. */
export interface PruneOptions {
  readonly store: Pick<Store, 'root' | 'db' | 'cacheStore'>;
  readonly nowMs: number;
  /** Also cache mounts, pulled images that no named one needs, and records of layers that images need. */
  readonly all?: boolean;
  /** Absent: snapshots, and with `all` or `keepBytes` mounts and logs. The records of builds go only when logs are named. */
  readonly types?: readonly PruneType[];
  /** Of mounts only those with one of these ids, as a Dockerfile has them. */
  readonly mountIDs?: readonly string[];
  /** Only what was not used since then. */
  readonly unusedSinceMs?: number;
  /** Stop at this size of the whole store. */
  readonly keepBytes?: number;
  readonly signal: AbortSignal;
}

interface PruneOutcome {
  readonly freedBytes: number;
  readonly leftBytes: number;
  /** Snapshots that go once the builds that run now have ended. */
  readonly waiting: number;
}

/** Sizes are shared in ways that only show when something is gone: a few rounds come to any limit. */
const ROUNDS = 6;

/** One at a time in a store; others wait. Builds go on meanwhile. */
export async function prune(options: PruneOptions): Promise<PruneOutcome> {
  const { store, signal } = options;
  const lock = await lockFile(join(store.root, 'locks', 'gc'), 'exclusive', signal);
  try {
    return await pruneLocked(options);
  } finally {
    lock.release();
  }
}

async function pruneLocked(options: PruneOptions): Promise<PruneOutcome> {
  const { store, nowMs, keepBytes, signal } = options;
  const { root, db } = store;
  const before = totalBytes(store.root, store.db);
  let left = before;
  let waiting = 0;
  collectLeavings({ root, db, nowMs });
  if (options.all === true && keepBytes === undefined && wants(options, 'snapshot'))
    db.run('DELETE FROM fetched_files');
  for (let round = 0; round < (keepBytes === undefined ? 1 : ROUNDS); round += 1) {
    signal.throwIfAborted();
    const givesUp = wants(options, 'snapshot') && (keepBytes === undefined || left > keepBytes);
    const collected = collect({
      root,
      db,
      nowMs,
      givesUp,
      withPulled: options.all === true,
      withPinned: options.all === true && keepBytes === undefined,
      ...(options.unusedSinceMs === undefined ? {} : { unusedSinceMs: options.unusedSinceMs }),
      ...(keepBytes === undefined ? {} : { bytesToFree: left - keepBytes }),
    });
    waiting = collected.waiting;
    sweepDirectories({ root, db, deadlineMs: Number.POSITIVE_INFINITY, now: () => performance.now() });
    left = totalBytes(root, db);
    if (collected.holdings === 0) break;
    // A breath for whoever waits for the database.
    await setTimeout(1, undefined, { signal });
  }
  const takesMounts = options.all === true || keepBytes !== undefined || options.types !== undefined;
  if (wants(options, 'mount') && takesMounts) pruneMounts(options, left);
  if (wants(options, 'log')) pruneLogs(options);
  left = totalBytes(root, db);
  return { freedBytes: Math.max(0, before - left), leftBytes: left, waiting };
}

function wants({ types }: PruneOptions, type: PruneType): boolean {
  return types === undefined || types.includes(type);
}

/** Cache mounts that no step uses now, the longest unused first. */
function pruneMounts(options: PruneOptions, total: number): void {
  const { nowMs, unusedSinceMs, mountIDs, keepBytes = 0 } = options;
  const { root } = options.store;
  const mounts = readdirSync(join(root, 'mounts'))
    .filter((name) => mountIDs === undefined || mountIDs.includes(idOf(root, name) ?? ''))
    .map((name) => mountOf(root, name))
    .filter(({ usedAtMs }) => unusedSinceMs === undefined || usedAtMs < unusedSinceMs)
    .sort((a, b) => idleScore(nowMs - b.usedAtMs, b.sizeBytes) - idleScore(nowMs - a.usedAtMs, a.sizeBytes));
  let left = total;
  for (const { name, sizeBytes } of mounts) {
    if (left <= keepBytes) return;
    // `<key>.<uuid>` was set aside by a step; its lock is the key's.
    const lock = tryLockFile(join(root, 'locks', `mount-${name.replace(/\..*$/, '')}`), 'exclusive');
    if (lock === undefined) continue;
    try {
      if (takeMount(root, name)) left -= sizeBytes;
    } finally {
      lock.release();
    }
  }
}

/** False when it is gone already: what a step has set aside it removes itself. */
function takeMount(root: string, name: string): boolean {
  const aside = join(root, 'tmp', `pruned-mount-${name}`);
  try {
    renameSync(join(root, 'mounts', name), aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
  rmSync(aside, { recursive: true, force: true });
  return true;
}

function idOf(root: string, name: string): string | undefined {
  try {
    return mountName(readFileSync(join(root, 'mounts', name, MOUNT_ID_FILE), 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function mountOf(root: string, name: string): { name: string; sizeBytes: number; usedAtMs: number } {
  const path = join(root, 'mounts', name);
  const lock = statSync(join(root, 'locks', `mount-${name.replace(/\..*$/, '')}`), { throwIfNoEntry: false });
  const usedAtMs = Math.max(lock?.mtimeMs ?? 0, statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return { name, sizeBytes: new DiskUsage().add(path), usedAtMs };
}

/** Last of all, for they cannot be made again; only who names logs, and no size, means the records of the builds, too. */
function pruneLogs(options: PruneOptions): void {
  const { store, all, types, keepBytes, unusedSinceMs } = options;
  const { root, db } = store;
  const startedBefore = unusedSinceMs === undefined ? {} : { startedBeforeMs: unusedSinceMs };
  if (keepBytes !== undefined) {
    const bytesToFree = totalBytes(root, db) - keepBytes;
    if (bytesToFree > 0) takeLogs({ root, db, ...startedBefore, bytesToFree });
  } else if (types !== undefined) forgetBuilds(options);
  else if (all === true) takeLogs({ root, db, ...startedBefore });
}

function forgetBuilds({ store: { root, db }, nowMs, unusedSinceMs = nowMs }: PruneOptions): void {
  db.run(`DELETE FROM builds WHERE ${MAY_BE_FORGOTTEN} AND started_at_ms < ?`, unusedSinceMs);
  collectLeavings({ root, db, nowMs });
}
