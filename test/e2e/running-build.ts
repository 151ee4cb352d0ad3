// A build that is running, and what is left of it when it has ended.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { descendants, processes } from '../sandbox/process-tree.ts';
import type { Caller } from './harness.ts';
import { processesNaming } from './processes-naming.ts';

/** A build in the middle of its step. */
export interface Running {
  readonly child: ChildProcess;
  /** The builder itself, below what changes the user. */
  readonly pid: number;
  readonly below: readonly number[];
  /** Names and open descriptors: a namespace that is gone leaves its number to the next one. */
  readonly namespaces: ReadonlyMap<string, number>;
  readonly text: () => string;
  readonly ended: Promise<number | null>;
}

/** How to start a build, and when it is far enough. */
interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly hasBegun: (state: { readonly text: string; readonly below: readonly number[] }) => boolean;
}

/** Starts the command and waits until it is where `hasBegun` wants it. */
export async function startBuild(
  caller: Caller,
  args: readonly string[],
  { env = {}, hasBegun }: StartOptions,
): Promise<Running> {
  const [program = '', ...rest] = [...caller.prefix, ...caller.command, ...args];
  const child = spawn(program, rest, {
    detached: true,
    cwd: caller.home,
    env: { PATH: process.env['PATH'] ?? '', HOME: caller.home, TSBUILD_ROOT: join(caller.home, 'store'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  child.stdout.on('data', (chunk: Buffer) => (text += chunk));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk));
  const isReady = (): boolean => hasBegun({ text, below: descendants(child.pid ?? 0) });
  await expect.poll(() => isReady() || child.exitCode, { timeout: 30_000, interval: 20, message: 'begun' }).toBe(true);
  const above = child.pid ?? 0;
  const all = processes();
  const below = descendants(above);
  const pid = [above, ...below].find((one) => all.get(one)?.command.startsWith(caller.command.join(' '))) ?? 0;
  return { child, pid, below, namespaces: openNamespaces([above, ...below]), text: () => text, ended };
}

/** Command lines of those that have not ended. */
export function commandsOf(pids: readonly number[]): readonly string[] {
  const all = processes();
  return pids.flatMap((pid) => all.get(pid)?.command ?? []);
}

/** Signals the process group as a terminal does; ms until all of it has ended. */
export async function stopWith({ child, pid, below }: Running, signal: NodeJS.Signals): Promise<number> {
  const started = performance.now();
  process.kill(-(child.pid ?? 0), signal);
  await expect.poll(() => commandsOf([pid, ...below]), { interval: 5, timeout: 10_000 }).toEqual([]);
  return performance.now() - started;
}

/** Waits until neither process, cgroup, namespace nor mount is left of it. */
export async function expectNothingLeft({ pid, below, namespaces, ended }: Running, caller: Caller): Promise<void> {
  await ended;
  const patiently = { interval: 20, timeout: 10_000 };
  await expect.poll(() => commandsOf([pid, ...below]), patiently).toEqual([]);
  await expect.poll(() => cgroupsOf(pid), patiently).toEqual([]);
  await expect.poll(() => holdersOf(namespaces), patiently).toEqual([]);
  for (const fd of namespaces.values()) closeSync(fd);
  await expect.poll(() => processesNaming(caller.home), patiently).toEqual([]);
}

/** In every tree, at whatever depth. */
function cgroupsOf(pid: number): readonly string[] {
  const { stdout } = spawnSync('find', ['/sys/fs/cgroup', '-name', `tsbuild-${pid}-*`], { encoding: 'utf8' });
  return stdout.split('\n').filter((path) => path !== '');
}

/** Those that are not this process's too. */
function openNamespaces(pids: readonly number[]): ReadonlyMap<string, number> {
  const own = new Set(linksIn(`/proc/${process.pid}/ns`));
  const opened = new Map<string, number>();
  for (const pid of pids) {
    for (const link of linksIn(`/proc/${pid}/ns`)) {
      const [name = ''] = link.split(':');
      if (own.has(link) || opened.has(link)) continue;
      const fd = openIfThere(`/proc/${pid}/ns/${name}`);
      if (fd === undefined) continue;
      // Not what was listed, but what is there now.
      const opening = readlinkSync(`/proc/self/fd/${fd}`);
      if (own.has(opening) || opened.has(opening)) closeSync(fd);
      else opened.set(opening, fd);
    }
  }
  return opened;
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined; // It ended meanwhile.
  }
}

/** Whatever but this process keeps one of the namespaces: a process, a descriptor, or a mount. */
function holdersOf(namespaces: ReadonlyMap<string, number>): readonly string[] {
  const holders = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) =>
      [...linksIn(`/proc/${pid}/ns`), ...linksIn(`/proc/${pid}/fd`)].some((link) => namespaces.has(link)),
    );
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return [...holders, ...mounts.filter((line) => namespaces.has(line.split(' ')[3] ?? ''))];
}

function linksIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir).map((name) => readlinkSync(`${dir}/${name}`));
  } catch {
    return []; // It ended meanwhile.
  }
}
