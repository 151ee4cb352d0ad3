// What trees take on disk, as `du` counts it: blocks, and each file once however many names it has.
import { type BigIntStats, lstatSync, readdirSync, type Stats } from 'node:fs';
import { codeOf } from '../sys/error-code.ts';

/** The unit of a stat's `blocks`. */
export const BLOCK_BYTES = 512;

/** Counts trees; a file with several names belongs to the tree that has it first. */
export class DiskUsage {
  readonly #seen = new Set<string>();
  readonly #shouldStop: () => boolean;
  /** True once the count was cut short: what was added last is not all. */
  isStopped = false;

  constructor(shouldStop: () => boolean = () => false) {
    this.#shouldStop = shouldStop;
  }

  /** Bytes on disk of everything at and below the path that was not counted before; 0 when nothing is there. */
  add(path: string): number {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    return stats === undefined ? 0 : this.#count(path, stats);
  }

  #count(path: string, stats: Stats): number {
    if (!stats.isDirectory()) return this.#isNew(stats) ? stats.blocks * BLOCK_BYTES : 0;
    let total = stats.blocks * BLOCK_BYTES;
    this.isStopped ||= this.#shouldStop();
    for (const name of namesIn(path)) {
      if (this.isStopped) break;
      const child = `${path}/${name}`;
      const found = lstatSync(child, { throwIfNoEntry: false });
      if (found !== undefined) total += this.#count(child, found);
    }
    return total;
  }

  #isNew({ dev, ino, nlink }: Pick<Stats | BigIntStats, 'dev' | 'ino' | 'nlink'>): boolean {
    if (nlink === 1) return true;
    const id = `${dev} ${ino}`;
    if (this.#seen.has(id)) return false;
    this.#seen.add(id);
    return true;
  }
}

/** Another process may remove what is being counted, and a subordinate user may have closed a directory to us. */
function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes(codeOf(error) ?? '')) return [];
    throw error;
  }
}
