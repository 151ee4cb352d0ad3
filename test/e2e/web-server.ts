// A web server in a process of its own: the tests' own process waits for the command and answers nobody meanwhile.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../registry/registry-rig.ts';

/** What the tests that start a WebServer need. */
export const WEB = ['python3', 'setpriv'];

/** Serves a directory with Last-Modified and its revalidation. Call `listen` first and `close` at the end. */
export class WebServer {
  readonly directory = mkdtempSync(join(tmpdir(), 'tsbuild-web-'));
  #port = 0;
  #child: ChildProcess | undefined;

  async listen(): Promise<void> {
    this.#port = await freePort();
    const log = join(this.directory, '.log');
    const command = `exec setpriv --pdeathsig KILL python3 -m http.server --bind 127.0.0.1 ${this.#port} 2>"${log}"`;
    this.#child = spawn('sh', ['-c', command], { cwd: this.directory, stdio: 'ignore' });
    for (let tries = 0; tries < 400 && !(await this.#answers()); tries++) await sleep(25);
  }

  close(): void {
    this.#child?.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.#port}/${path}`;
  }

  /** A file that was changed then, in seconds since the epoch. */
  put(path: string, bytes: string | Buffer, timeSeconds = 1_600_000_000): void {
    const full = join(this.directory, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, bytes);
    utimesSync(full, timeSeconds, timeSeconds);
  }

  /** Method, path and status of every request so far, such as `GET /x 200`. */
  requests(): readonly string[] {
    const lines = readFileSync(join(this.directory, '.log'), 'utf8').split('\n');
    return lines.flatMap((line) => {
      const [, request, status] = /"(\S+ \S+) HTTP\/[\d.]+" (\d+)/.exec(line) ?? [];
      return request === undefined ? [] : [`${request} ${status}`];
    });
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.#port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
  }
}
