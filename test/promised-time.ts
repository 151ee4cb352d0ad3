// Bounds on time that are promised of a quiet machine.
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** So many times longer than on a quiet machine something may take now: the processes that want a processor, for each there is. */
function machineLoad(): number {
  const [lastMinute = '1', , , running = '1/1'] = readFileSync('/proc/loadavg', 'utf8').split(' ');
  return Math.max(1, Number(lastMinute) / cpus().length, Number.parseInt(running, 10) / cpus().length);
}

/** The time that is promised, where the machine is busy as much longer as its load says. */
export function promisedMs(quietMs: number): number {
  return quietMs * machineLoad();
}
