// dockerd 20.10, the older of the two references, started for a test and ended with it.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const DOCKER = '/usr/bin/docker';
const DOCKERD = '/usr/sbin/dockerd';

/** Dockerd and client of the 20.10 line: newer clients need a plugin, newer daemons are another reference. */
export function hasDockerd(): boolean {
  return [DOCKER, DOCKERD].every(
    (program) =>
      existsSync(program) && spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout.includes(' 20.10.'),
  );
}

export interface Finished {
  readonly status: number | null;
  readonly text: string;
}

/** Runs a program to its end; both streams in one text. */
export async function finished(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Finished> {
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += bytes));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, text };
}

/** A daemon with a directory of its own; it dies with this process, whatever ends that. */
export class Dockerd implements AsyncDisposable {
  /** For the daemon's files and the test's. */
  readonly place = mkdtempSync(join(tmpdir(), 'tsbuild-dockerd-'));
  readonly #daemon: ChildProcess;

  constructor() {
    const { place } = this;
    const log = openSync(join(place, 'log'), 'w');
    const paths = ['--data-root', `${place}/data`, '--exec-root', `${place}/exec`, '-p', `${place}/pid`];
    const args = ['--iptables=false', '--bridge=none', ...paths, '-H', `unix://${place}/socket`];
    this.#daemon = spawn('setpriv', ['--pdeathsig', 'KILL', DOCKERD, ...args], { stdio: ['ignore', log, log] });
  }

  /** Arguments and environment of the client are BuildKit's. */
  async docker(...args: readonly string[]): Promise<Finished> {
    return await finished(DOCKER, ['-H', `unix://${this.place}/socket`, ...args], {
      HOME: this.place,
      DOCKER_BUILDKIT: '1',
    });
  }

  /** Resolves when it takes orders. */
  async answers(): Promise<void> {
    for (let tries = 0; tries < 200; tries += 1) {
      if ((await this.docker('info')).status === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`dockerd does not answer: ${readFileSync(join(this.place, 'log'), 'utf8').slice(-2000)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#daemon.exitCode === null) {
      const closed = new Promise((resolve) => this.#daemon.once('exit', resolve));
      this.#daemon.kill('SIGTERM');
      await closed;
    }
    for (const mount of ['exec/netns/default', 'data']) {
      spawnSync('umount', ['-lq', join(this.place, mount)], { stdio: 'ignore' });
    }
    execFileSync('rm', ['-rf', '--one-file-system', this.place]);
  }
}
