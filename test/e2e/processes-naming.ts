// What a command may have left running.
import { readdirSync, readFileSync } from 'node:fs';

/** Command lines and mounts of processes that still use something below the directory. */
export function processesNaming(directory: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => {
      try {
        return `${readFileSync(`/proc/${pid}/cmdline`, 'utf8')} ${readFileSync(`/proc/${pid}/mountinfo`, 'utf8')}`;
      } catch {
        return '';
      }
    })
    .filter((text) => text.includes(directory));
}
