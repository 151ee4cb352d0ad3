// Gives up what the store can do without, until it is as small as asked: `tsbuild prune`, and the limit after a build.
import { rmSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { join } from 'node:path';
import { lockFile } from '../ops/file-lock.ts';
import type { Store } from '../store/open-store.ts';
import { idleScore } from './choose.ts';
import { collect, collectLeavings } from './collect.ts';
import { MAY_BE_FORGOTTEN, takeLogs } from './logs.ts';
import { listMounts, measureMount, takeMount } from './mounts.ts';
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
  const mounts = listMounts(root)
    .filter(({ id }) => mountIDs === undefined || mountIDs.includes(id ?? ''))
    .filter(({ usedAtMs }) => unusedSinceMs === undefined || usedAtMs < unusedSinceMs)
    .map((mount) => measureMount(root, mount))
    .sort((a, b) => idleScore(nowMs - b.usedAtMs, b.sizeBytes) - idleScore(nowMs - a.usedAtMs, a.sizeBytes));
  let left = total;
  for (const { name, sizeBytes } of mounts) {
    if (left <= keepBytes) return;
    const aside = join(root, 'tmp', `pruned-mount-${name}`);
    if (!takeMount(root, name, aside)) continue;
    rmSync(aside, { recursive: true, force: true });
    left -= sizeBytes;
  }
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
