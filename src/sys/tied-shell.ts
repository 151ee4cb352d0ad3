// Programs that must not outlive this process, however it ends: a shell starts them, with a pipe of ours as standard input.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

interface TiedOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  /** Commands for when it has to end. */
  readonly afterwards?: string;
}

/**
 * Runs a shell script that becomes (`exec …`) the program. That has no standard input and no terminal, and it is ended with all
 * it has started when it exits itself, or when our side of the pipe is closed: Node does that when the child exits, and the
 * kernel when this process is killed.
 */
export function spawnTied(
  script: string,
  args: readonly string[],
  { afterwards = ':', ...options }: TiedOptions = {},
): ChildProcessByStdio<Writable, Readable, Readable> {
  // The group lives as long as the watcher does, so that its number is nobody else's.
  const watcher = `{ read -r _ <&3; ${afterwards}; kill -s TERM -- -$$; } >/dev/null 2>&1 &`;
  const tied = `exec 3<&0 </dev/null; ${watcher} exec 3<&-; ${script}`;
  return spawn('/bin/sh', ['-c', tied, ...args], { ...options, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
}
