// What is said of a step that was ended for lack of memory.
import type { MemoryKill } from './cgroup-limits.ts';

/** One sentence with the limit, the peak and the way out. */
export function memoryKillText({ limitBytes, peakBytes }: MemoryKill): string {
  const peak = peakBytes === undefined ? '' : `, it used ${megabytes(peakBytes)}`;
  const limit = `its limit is ${megabytes(limitBytes)}${peak}`;
  return `the kernel ended a process for lack of memory (${limit}): raise --memory, or have it use less`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / (1024 * 1024))} MB`;
}
