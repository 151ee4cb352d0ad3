// Repositories of the test's making behind a real git daemon.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../registry/registry-rig.ts';

/** What the tests that start a GitServer need. */
export const GIT = 'git';

/** Call `listen` first and `close` at the end. */
export class GitServer {
  readonly #root = mkdtempSync(join(tmpdir(), 'tsbuild-git-'));
  #port = 0;
  #daemon: ChildProcess | undefined;

  async listen(): Promise<void> {
    this.#port = await freePort();
    const args = ['daemon', '--export-all', `--base-path=${this.#root}`, '--listen=127.0.0.1', `--port=${this.#port}`];
    this.#daemon = spawn('git', args, { stdio: 'ignore', detached: true });
    for (let tries = 0; tries < 200 && !(await this.#answers()); tries++) await sleep(25);
  }

  close(): void {
    // Git runs its daemon as a child of its own.
    if (this.#daemon?.pid !== undefined) process.kill(-this.#daemon.pid);
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** Where the repository is on this machine. */
  pathOf(name: string): string {
    return join(this.#root, `${name}.git`);
  }

  url(name: string): string {
    return `git://127.0.0.1:${this.#port}/${name}.git`;
  }

  /** Runs git in the repository of that name. */
  git(name: string, ...args: readonly string[]): string {
    const identity = ['-c', 'user.name=n', '-c', 'user.email=e', '-c', 'protocol.file.allow=always'];
    const env = { ...process.env, GIT_COMMITTER_DATE: '2024-01-02T03:04:05Z', GIT_AUTHOR_DATE: '2024-01-02T03:04:05Z' };
    const cwd = join(this.#root, `${name}.git`);
    return execFileSync('git', [...identity, ...args], { cwd, env, encoding: 'utf8', stdio: 'pipe' }).trim();
  }

  /** Commits files (`-> x` is a link) to a repository, made on first use; the commit's id. */
  commit(name: string, files: Readonly<Record<string, string>>): string {
    const directory = join(this.#root, `${name}.git`);
    mkdirSync(directory, { recursive: true });
    this.git(name, 'init', '--quiet', '--initial-branch=main');
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      rmSync(join(directory, path), { force: true });
      if (text.startsWith('-> ')) symlinkSync(text.slice(3), join(directory, path));
      else writeFileSync(join(directory, path), text, { mode: path.endsWith('.sh') ? 0o755 : 0o644 });
    }
    this.git(name, 'add', '--all');
    this.git(name, 'commit', '--quiet', '--allow-empty', '--message=m');
    return this.git(name, 'rev-parse', 'HEAD');
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.#port, '127.0.0.1', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
  }
}
