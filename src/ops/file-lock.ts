// Locks that hold across processes and end with the process that holds them, whatever ends it.
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { tryLock } from '../sys/libc.ts';

type LockMode = 'shared' | 'exclusive';

/** A lock held; `release` may be called once. */
export interface FileLock {
  release(): void;
}

const FIRST_WAIT_MS = 5;
const LONGEST_WAIT_MS = 200;

/** The lock at the path, or undefined when somebody else holds it. */
export function tryLockFile(path: string, mode: LockMode): FileLock | undefined {
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, 'a', 0o600);
  let isHeld = false;
  try {
    isHeld = tryLock(fd, mode);
  } finally {
    if (!isHeld) closeSync(fd);
  }
  return isHeld ? { release: () => closeSync(fd) } : undefined;
}

/** Waits for the lock at the path; rejects with the signal's reason. */
export async function lockFile(path: string, mode: LockMode, signal: AbortSignal): Promise<FileLock> {
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    signal.throwIfAborted();
    const lock = tryLockFile(path, mode);
    if (lock !== undefined) return lock;
    await setTimeout(waitMs, undefined, { signal });
  }
}
