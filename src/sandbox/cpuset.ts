// Processors and memory nodes by number: lists such as `0-2,4`, and which of them this process may give to a step.
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import type { CgroupHost } from './cgroup-host.ts';
import type { ResourceLimits } from './cgroup-limits.ts';
import { readText } from './sandbox-host.ts';

type Range = readonly [first: number, last: number];

/** Undefined for what is no list of numbers and ascending ranges. */
export function parseCpuset(text: string): readonly Range[] | undefined {
  if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) return undefined;
  const ranges = text.split(',').map((part): Range => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return [first, last];
  });
  return ranges.every(([first, last]) => first <= last) ? ranges : undefined;
}

/** The unified tree would take any number and not limit at all. Throws TSB_SANDBOX_CGROUP_FAILED, naming those that are here. */
export function checkCpuset({ cpusetCpus, cpusetMems }: ResourceLimits, { usable }: CgroupHost): void {
  const dir = usable.get('cpuset')?.dir;
  if (dir === undefined) return;
  checkNumbers('--cpuset-cpus', cpusetCpus, 'a processor', allowedIn(dir, 'cpus'));
  checkNumbers('--cpuset-mems', cpusetMems, 'a memory node', allowedIn(dir, 'mems'));
}

/** Empty where the kernel does not say. */
function allowedIn(dir: string, kind: 'cpus' | 'mems'): string {
  const files = [`cpuset.${kind}.effective`, `cpuset.effective_${kind}`, `cpuset.${kind}`];
  return files.map((name) => readText(join(dir, name))?.trim() ?? '').find((text) => text !== '') ?? '';
}

function checkNumbers(flag: string, asked: string | undefined, what: string, allowed: string): void {
  const [ranges, here] = [parseCpuset(asked ?? ''), parseCpuset(allowed)];
  if (asked === undefined || ranges === undefined || here === undefined) return;
  // The kernel's own list has its ranges apart from each other.
  if (ranges.every((range) => here.some(([first, last]) => first <= range[0] && range[1] <= last))) return;
  throw new TsbuildError('TSB_SANDBOX_CGROUP_FAILED', `${flag} "${asked}" names ${what} that cannot be used here`, {
    hint: `those that can: ${allowed}`,
  });
}
