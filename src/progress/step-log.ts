// Parts of a step's log file.
import { closeSync, openSync, readSync } from 'node:fs';
import type { StepLog } from './log-tail.ts';

/** The log file at the path; one that cannot be read counts as empty. */
export function openStepLog(path: string): StepLog {
  return {
    path,
    read(start, end) {
      const bytes = Buffer.alloc(end - start);
      try {
        return bytes.subarray(0, readAt(path, bytes, start));
      } catch {
        return bytes.subarray(0, 0);
      }
    },
  };
}

function readAt(path: string, bytes: Buffer, start: number): number {
  const fd = openSync(path, 'r');
  try {
    let total = 0;
    for (let count = -1; count !== 0 && total < bytes.length; total += count) {
      count = readSync(fd, bytes, total, bytes.length - total, start + total);
    }
    return total;
  } finally {
    closeSync(fd);
  }
}
