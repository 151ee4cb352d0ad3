// Signals of a running image: they go to the process and nothing is decided for it, as with `docker run`.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { descendants, processes } from '../sandbox/process-tree.ts';
import { type Caller, describeCallers } from './harness.ts';
import { BUSYBOX, buildApp, RUNTIMES } from './run-app.ts';

const FORCED = '3 times SIGINT or SIGTERM: the process is ended by force\n';

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A `tsbuild run` that is under way. */
class Running {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #command: string;
  readonly #ended: Promise<number | null>;
  #stdout = '';
  #stderr = '';

  constructor(caller: Caller, args: readonly string[]) {
    const [program = '', ...rest] = [...caller.prefix, ...caller.command, 'run', ...args];
    const env = { PATH: process.env['PATH'] ?? '', HOME: caller.home, TSBUILD_ROOT: join(caller.home, 'store') };
    this.#command = caller.command.join(' ');
    this.#child = spawn(program, rest, { cwd: caller.home, env, detached: true });
    this.#child.stdout.on('data', (chunk: Buffer) => (this.#stdout += chunk));
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk));
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  async shows(text: string): Promise<void> {
    await expect.poll(() => this.#stdout, { timeout: 60_000, interval: 10 }).toContain(text);
  }

  /** To tsbuild alone: runuser would end it in its own way. */
  send(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  get pid(): number {
    const top = this.#child.pid ?? 0;
    const found = [top, ...descendants(top)].find(
      (pid) => processes().get(pid)?.command.startsWith(this.#command) === true,
    );
    if (found === undefined) throw new Error('tsbuild is not there');
    return found;
  }

  async end(): Promise<Ended> {
    const code = await this.#ended;
    return { code, stdout: this.#stdout, stderr: this.#stderr };
  }
}

const PASSED_ON = ['HUP', 'INT', 'QUIT', 'USR1', 'USR2', 'ALRM', 'TERM', 'CONT', 'TSTP', 'WINCH', 'PWR'] as const;

describeCallers('signals of tsbuild run', { needs: ['root', BUSYBOX] }, (caller) => {
  const run = (args: readonly string[], script: string) => new Running(caller, [...args, 'app:1', 'sh', '-c', script]);

  buildApp(caller);

  it.each(RUNTIMES)('reach the process, whatever it is (runtime %j)', async (runtime) => {
    const traps = PASSED_ON.map((name) => `trap 'echo got ${name}' ${name};`).join(' ');
    const script = `${traps} trap 'exit 5' SYS; echo up; while :; do busybox sleep 0.05; done`;
    const running = run(['--oci-runtime', runtime], script);
    await running.shows('up\n');
    // runc takes WINCH as news of its own terminal.
    const signals = PASSED_ON.filter((name) => runtime === '' || name !== 'WINCH');
    for (const name of signals) {
      running.send(`SIG${name}`);
      await running.shows(`got ${name}\n`);
      if (name === 'INT') running.send('SIGCHLD');
    }
    // The third of its kind.
    running.send('SIGTERM');
    expect(await running.end()).toEqual({
      code: 137,
      stdout: `up\n${signals.map((name) => `got ${name}\n`).join('')}`,
      stderr: FORCED,
    });
  });

  it('end a process that handles them in its own way', async () => {
    const running = run([], `trap 'echo bye; exit 7' TERM; echo up; while :; do busybox sleep 0.05; done`);
    await running.shows('up\n');
    running.send('SIGTERM');
    expect(await running.end()).toEqual({ code: 7, stdout: 'up\nbye\n', stderr: '' });
  });

  it.each(RUNTIMES)('are ignored by a process 1 without a handler, until the third (runtime %j)', async (runtime) => {
    const running = run(['--oci-runtime', runtime], 'echo up; exec busybox tail -f /dev/null');
    await running.shows('up\n');
    const { pid } = running;
    for (const signal of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR1'] as const) running.send(signal);
    expect(descendants(pid).length).toBeGreaterThan(1);
    // As long as it is not scheduled, equal signals are one.
    const forced = setInterval(() => processes().has(pid) && process.kill(pid, 'SIGTERM'), 200);
    expect(await running.end()).toEqual({ code: 137, stdout: 'up\n', stderr: FORCED });
    clearInterval(forced);
    expect(processes().has(pid)).toBe(false);
  });

  it('give 128 and their number where they end a process', async () => {
    const kill = (signal: string) => `busybox sh -c 'kill -${signal} $$'; echo $?`;
    for (const signal of ['KILL', 'TERM', 'SEGV'] as const) {
      const { stdout } = await run([], kill(signal)).end();
      expect(stdout).toBe(`${128 + constants.signals[`SIG${signal}`]}\n`);
    }
  });
});
