// Builds beside which this process goes on: it may be the registry they talk to.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Caller } from './harness.ts';

interface AsyncBuild {
  readonly status: number | null;
  readonly imageID: string;
  /** Progress, warnings and errors. */
  readonly text: string;
}

/** `tsbuild build` with plain progress and a store of its own, or the one that is named. */
export async function buildBeside(
  caller: Pick<Caller, 'home' | 'prefix' | 'command'>,
  store: string,
  flags: readonly string[],
): Promise<AsyncBuild> {
  const [first = '', ...rest] = [...caller.prefix, ...caller.command, 'build', '--progress=plain', ...flags];
  const child = spawn(first, rest, {
    cwd: caller.home,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', HOME: caller.home, TSBUILD_ROOT: join(caller.home, store) },
  });
  const streams = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (bytes) => (streams[name] += bytes));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, imageID: streams.stdout.trim(), text: streams.stdout + streams.stderr };
}
