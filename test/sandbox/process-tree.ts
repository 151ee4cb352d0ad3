// The processes of this machine, to see which of them are left.
import { readdirSync, readFileSync } from 'node:fs';

interface Process {
  readonly parent: number;
  /** Arguments with a space after each. */
  readonly command: string;
}

/** All processes of this machine but those that have ended. */
export function processes(): ReadonlyMap<number, Process> {
  const found = new Map<number, Process>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const [, state, parent] = /\) (\w) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? [];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
      if (state === 'Z') continue;
      found.set(Number(pid), { parent: Number(parent), command });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

/** All below a process, however deep. */
export function descendants(root: number): readonly number[] {
  const all = processes();
  const isBelow = (pid: number): boolean => {
    const parent = all.get(pid)?.parent;
    return parent !== undefined && parent !== 0 && (parent === root || isBelow(parent));
  };
  return [...all.keys()].filter(isBelow);
}
