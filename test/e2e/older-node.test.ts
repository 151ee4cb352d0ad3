// In a checkout an older Node starts the pinned one, and nothing tells that from having been started with it.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { PROJECT } from '../needs.ts';
import { describeRoot, makeBase, writeContext } from './harness.ts';
import { processesNaming } from './processes-naming.ts';

const base = makeBase();
const OLD_NODE = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => majorOf(path) < 24);
const PINNED = join(PROJECT, 'node_modules', 'node', 'bin', 'node');
const needs = [
  { name: 'a Node older than 24', isHere: OLD_NODE !== undefined },
  { name: 'the pinned Node', isHere: existsSync(PINNED) },
];

function majorOf(node: string): number {
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return Number(/^v(\d+)/.exec(stdout ?? '')?.[1] ?? Number.POSITIVE_INFINITY);
}

describeRoot('an older Node', { needs }, (caller) => {
  const script = join(PROJECT, 'dist', 'tsbuild.js');
  const env = () => ({ PATH: process.env['PATH'] ?? '', HOME: caller.home, TSBUILD_ROOT: join(caller.home, 'store') });

  /** A build whose step goes on until it is ended, once it is there. */
  const start = async (): Promise<{
    readonly child: ChildProcessWithoutNullStreams;
    readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null; readonly text: string }>;
  }> => {
    const context = writeContext(caller, {
      Dockerfile: 'FROM base\nRUN echo st""arted; while :; do read x </proc/uptime; done\n',
    });
    const args = ['build', '--progress=plain', '--build-context', `base=oci-layout://${base}`, context];
    const child = spawn(OLD_NODE ?? '', [script, ...args], { env: env() });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk));
    child.stderr.on('data', (chunk: Buffer) => (text += chunk));
    const ended = new Promise<{ code: number | null; signal: string | null; text: string }>((resolve) =>
      child.once('close', (code, signal) => resolve({ code, signal, text })),
    );
    await expect.poll(() => text.includes('started') || child.exitCode, { timeout: 60_000, interval: 20 }).toBe(true);
    return { child, ended };
  };

  it.each(['SIGTERM', 'SIGHUP', 'SIGINT'] as const)('lets a signal to it alone reach the build: %s', async (signal) => {
    const { child, ended } = await start();
    // A symbolic link on the way there is a worktree's.
    expect(readlinkSync(`/proc/${child.pid}/exe`)).toMatch(/node_modules\/(?:.*\/)?bin\/node$/);
    process.kill(child.pid ?? 0, signal);
    const { code, text } = await ended;
    expect(text).toContain(`${signal}: stopping the build; finished steps are kept`);
    expect(code).toBe(130);
    await expect.poll(() => processesNaming(caller.home), { timeout: 30_000 }).toEqual([]);
  });

  it('leaves nothing behind when it is killed', async () => {
    const { child, ended } = await start();
    process.kill(child.pid ?? 0, 'SIGKILL');
    expect(await ended).toMatchObject({ code: null, signal: 'SIGKILL' });
    await expect.poll(() => processesNaming(caller.home), { timeout: 30_000 }).toEqual([]);
  });

  it('passes standard input, environment and exit code on', () => {
    const run = (args: readonly string[], input: string, more = {}) =>
      spawnSync(OLD_NODE ?? '', [script, ...args], { encoding: 'utf8', input, env: { ...env(), ...more } });
    const dockerfile = 'FROM base\nARG HERE\nRUN echo <$HERE> >/here\n';
    const flags = ['-q', '--build-context', `base=oci-layout://${base}`, '--build-arg', 'HERE'];
    expect(run([...flags, '-'], dockerfile.replace('<$HERE>', '"<$HERE>"'), { HERE: 'a=b c' })).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/),
    });
    expect(run(['build'], '')).toMatchObject({ status: 2, stderr: expect.stringContaining('no build context given') });
  });
});
