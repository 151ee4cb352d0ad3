// `--ulimit` and `--shm-size`, of `build` and `run` alike.
import { RLIMITS } from '../sandbox/rlimits.ts';
import { readSize } from './flag-values.ts';
import { usageError } from './usage-error.ts';

/** One limit of processes; -1 is no limit. */
export interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** `NAME=SOFT[:HARD]`; -1 is no limit. Throws TSB_USAGE_ULIMIT. */
export function readUlimit(text: string): Ulimit {
  const match = /^([a-z]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text);
  if (!match?.[1] || !match[2]) throw usageError('ULIMIT', `invalid --ulimit "${text}": expected NAME=SOFT[:HARD]`);
  const names = Object.keys(RLIMITS).sort();
  if (!names.includes(match[1])) {
    throw usageError(
      'ULIMIT',
      `invalid --ulimit "${text}": there is no limit "${match[1]}"`,
      `one of ${names.join(', ')}`,
    );
  }
  const [soft, hard] = [Number(match[2]), Number(match[3] ?? match[2])];
  if (hard >= 0 && (soft < 0 || soft > hard)) {
    throw usageError('ULIMIT', `invalid --ulimit "${text}": the soft limit is above the hard one`);
  }
  return { name: match[1], soft, hard };
}

/** In bytes; undefined, and 0, are the usual size. Throws TSB_USAGE_SIZE. */
export function readShmSize(text: string | undefined): number | undefined {
  return text === undefined ? undefined : readSize('--shm-size', text) || undefined;
}
