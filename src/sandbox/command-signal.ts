// Sending a signal to a run's command, which is the supervisor's grandchild.
import { readlinkSync } from 'node:fs';
import { codeOf } from '../sys/error-code.ts';
import { INIT_NAME } from './init-process.ts';
import { readText } from './sandbox-host.ts';

/**
 * False: there is no command yet, or none any more. Nothing is asked of the command itself: a program that is about to
 * execute another one has handlers that the next one has not, so what it would do is known to the kernel alone.
 */
export function signalCommand(supervisorPid: number, signal: NodeJS.Signals): boolean {
  const [keeper] = childrenOf(supervisorPid);
  const command = keeper === undefined ? undefined : childrenOf(keeper).find((pid) => isCommand(pid, keeper));
  if (command === undefined) return false;
  try {
    process.kill(command, signal);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
    throw error;
  }
}

function childrenOf(pid: number): readonly number[] {
  const text = readText(`/proc/${pid}/task/${pid}/children`) ?? '';
  return text.split(' ').filter(Boolean).map(Number);
}

/** Helpers of the keeper's stay in its mount namespace; what is still the init has no command yet. */
function isCommand(pid: number, keeper: number): boolean {
  const link = (of: number, name: string): string => readlinkSync(`/proc/${of}/${name}`);
  try {
    return link(pid, 'ns/mnt') !== link(keeper, 'ns/mnt') && !link(pid, 'exe').includes(`memfd:${INIT_NAME}`);
  } catch {
    return false; // It has just ended.
  }
}
