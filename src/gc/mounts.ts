// Cache mounts as what may go: when each was last used, whether a step uses it now, and taking it away.
import { readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MOUNT_ID_FILE, mountName } from '../ops/cache-mounts.ts';
import { tryLockFile } from '../ops/file-lock.ts';
import { codeOf } from '../sys/error-code.ts';
import { DiskUsage } from './measure.ts';
import { removeTree } from './remove-tree.ts';

interface StoredMount {
  /** Of its directory. */
  readonly name: string;
  /** As a Dockerfile has it; undefined for one that a step has only begun. */
  readonly id: string | undefined;
  /** UTC, ms since the epoch: when the last step began or ended that used it. */
  readonly usedAtMs: number;
}

/** A cache mount with its size, of which only `id`, `usedAtMs` and `sizeBytes` are for people. */
export interface MeasuredMount extends StoredMount {
  readonly sizeBytes: number;
}

/** All there are, in no order. */
export function listMounts(root: string): readonly StoredMount[] {
  return readdirSync(join(root, 'mounts')).map((name) => {
    const lock = statSync(lockPath(root, name), { throwIfNoEntry: false });
    const own = statSync(join(root, 'mounts', name), { throwIfNoEntry: false });
    return { name, id: idOf(root, name), usedAtMs: Math.max(lock?.mtimeMs ?? 0, own?.mtimeMs ?? 0) };
  });
}

/** Bytes on disk, or of what was counted before it was time to stop. */
export function measureMount(root: string, mount: StoredMount, usage: DiskUsage = new DiskUsage()): MeasuredMount {
  return { ...mount, sizeBytes: usage.add(join(root, 'mounts', mount.name)) };
}

/** Moves the mount to the path, from where the caller removes it; false when a step uses it, or when it is gone. */
export function takeMount(root: string, name: string, aside: string): boolean {
  const lock = tryLockFile(lockPath(root, name), 'exclusive');
  if (lock === undefined) return false;
  try {
    renameSync(join(root, 'mounts', name), aside);
    return true;
  } catch (error) {
    // What a step has set aside it removes itself.
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  } finally {
    lock.release();
  }
}

/** As long as BuildKit's default policy leaves cache mounts alone. */
const IDLE_MS = 48 * 3_600_000;

interface TakeIdleMountsOptions {
  readonly root: string;
  readonly nowMs: number;
  readonly bytesToFree: number;
  /** A path in the store's `tmp` that is this process's, a new one each time. */
  readonly temporaryPath: () => string;
  /** A monotonic clock in ms, and when it is time to stop. */
  readonly now: () => number;
  readonly deadlineMs: number;
}

/** Takes mounts that no step has used for 48 hours, the longest unused first, until enough is free; those it took. */
export function takeIdleMounts(options: TakeIdleMountsOptions): readonly MeasuredMount[] {
  const { root, nowMs, bytesToFree, temporaryPath, now, deadlineMs } = options;
  const idle = listMounts(root).filter(({ usedAtMs }) => usedAtMs < nowMs - IDLE_MS);
  const taken: MeasuredMount[] = [];
  let freed = 0;
  for (const mount of idle.toSorted((a, b) => a.usedAtMs - b.usedAtMs)) {
    if (freed >= bytesToFree || now() > deadlineMs) break;
    const usage = new DiskUsage(() => now() > deadlineMs);
    const measured = measureMount(root, mount, usage);
    const aside = temporaryPath();
    if (!takeMount(root, mount.name, aside)) continue;
    taken.push(measured);
    freed += measured.sizeBytes;
    // What is left of it goes when the next process sweeps.
    removeTree(aside, deadlineMs, now);
    // It may have been larger than what was counted.
    if (usage.isStopped) break;
  }
  return taken;
}

/** `<key>.<uuid>` was set aside by a step; its lock is the key's. */
function lockPath(root: string, name: string): string {
  return join(root, 'locks', `mount-${name.replace(/\..*$/, '')}`);
}

function idOf(root: string, name: string): string | undefined {
  try {
    return mountName(readFileSync(join(root, 'mounts', name, MOUNT_ID_FILE), 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
