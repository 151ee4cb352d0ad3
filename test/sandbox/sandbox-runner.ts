// Runs specs in a sandbox for the executor suites: in this process, or in a child that is an ordinary user.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { openTun } from '../open-tun.ts';
import type { Executor, ExitStatus, OverlayMount, RunSpec, SandboxMount } from '../../src/sandbox/executor.ts';

interface RunResult {
  readonly status: ExitStatus | undefined;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Code and message of what `run` threw. */
  readonly error: { readonly code: string; readonly message: string; readonly hint: string } | undefined;
}

/** An executor behind a door that specs and results pass as values. */
export interface SandboxRunner {
  run(spec: RunSpec): Promise<RunResult>;
  close(): Promise<void>;
}

/** Keeps what is written. */
export class Sink extends Writable {
  readonly chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk);
    done();
  }

  bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

/** Runs in this process. */
export class LocalRunner implements SandboxRunner {
  readonly executor: Executor;

  constructor(executor: Executor) {
    this.executor = executor;
  }

  async run(spec: RunSpec): Promise<RunResult> {
    const [stdout, stderr] = [new Sink(), new Sink()];
    const result = async (): Promise<Pick<RunResult, 'status' | 'error'>> => {
      try {
        const status = await this.executor.run(spec, { stdout, stderr, signal: new AbortController().signal });
        return { status, error: undefined };
      } catch (error) {
        const { code = '', message, hint = '' } = error as { code?: string; message: string; hint?: string };
        return { status: undefined, error: { code, message, hint } };
      }
    };
    return { ...(await result()), stdout: stdout.bytes(), stderr: stderr.bytes() };
  }

  async close(): Promise<void> {
    await this.executor.close();
  }
}

/** What passes between a UserRunner and user-runner-child.ts. */
export function encodeSpec(spec: RunSpec): string {
  return JSON.stringify(spec, (_, value: unknown) =>
    value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value,
  );
}

/** Runs in a child process of another user, which enters a user namespace first. */
export class UserRunner implements SandboxRunner {
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];

  /** `runtime` is an OCI runtime; without one the embedded executor runs. */
  constructor(user: string, stateDir: string, runtime?: string) {
    const script = fileURLToPath(new URL('user-runner-child.ts', import.meta.url));
    const command = [process.execPath, script, stateDir, ...(runtime === undefined ? [] : [runtime])];
    const [program = '', ...args] = [...openTun(), 'runuser', '-u', user, '--', ...command];
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no pipe');
    createInterface({ input: stdout }).on('line', (line) => this.#waiting.shift()?.(line));
  }

  async run(spec: RunSpec): Promise<RunResult> {
    const line = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin?.write(`${encodeSpec(spec)}\n`);
    });
    const { status, error, stdout, stderr } = JSON.parse(line) as RunResult & { stdout: string; stderr: string };
    return { status, error, stdout: Buffer.from(stdout, 'base64'), stderr: Buffer.from(stderr, 'base64') };
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin?.end();
    await ended;
  }
}

const BUSYBOX = '/bin/busybox';

/** Why no sandbox test can run here, or undefined. */
export function cannotRun(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync(BUSYBOX)) return 'needs busybox-static';
  return undefined;
}

/** Why no ordinary user can be made here, or undefined. */
export function cannotMakeUsers(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = ['useradd', 'runuser', 'setpriv', 'newuidmap'].find(
    (command) => spawnSync('sh', ['-c', `command -v ${command}`]).status !== 0,
  );
  return missing === undefined ? undefined : `needs ${missing}`;
}

export function addUser(name: string, options: readonly string[] = []): void {
  execFileSync('useradd', ['--create-home', ...options, name]);
}

export function removeUser(name: string): void {
  execFileSync('userdel', ['--remove', name], { stdio: 'ignore' });
}

export interface SpecOptions {
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly cwd?: string;
  readonly user?: string;
  readonly mounts?: readonly SandboxMount[];
  readonly network?: RunSpec['network'];
  readonly rootfs?: OverlayMount;
  readonly more?: Partial<RunSpec>;
}

/** A directory with a busybox root filesystem, from which specs are made. */
export class SandboxFixture {
  readonly dir: string;
  readonly base: string;
  readonly #owner: string;
  #count = 0;

  /** All files belong to `owner`, such as `root:root`. */
  constructor(owner: string) {
    this.#owner = owner;
    this.dir = mkdtempSync(join(tmpdir(), 'tsbuild-sandbox-'));
    chmodSync(this.dir, 0o755);
    this.base = join(this.dir, 'base');
    mkdirSync(join(this.dir, 'state'));
    for (const name of ['bin', 'etc', 'tmp', 'root', 'home/app']) mkdirSync(join(this.base, name), { recursive: true });
    chmodSync(join(this.base, 'tmp'), 0o1777);
    copyFileSync(BUSYBOX, join(this.base, 'bin/busybox'));
    chmodSync(join(this.base, 'bin/busybox'), 0o755);
    for (const name of execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
      if (name !== 'busybox') symlinkSync('busybox', join(this.base, 'bin', name));
    }
    writeFileSync(join(this.base, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\napp:x:100:101::/home/app:/bin/sh\n');
    writeFileSync(join(this.base, 'etc/group'), 'root:x:0:\napp:x:101:\nextra:x:200:app\n');
    this.own(this.dir);
  }

  own(path: string): void {
    execFileSync('chown', ['-hR', this.#owner, path]);
  }

  /** A new directory with files by name. */
  makeDir(name: string, files: Readonly<Record<string, string>> = {}): string {
    const path = join(this.dir, `${name}-${this.#count++}`);
    mkdirSync(path);
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(join(path, file, '..'), { recursive: true });
      writeFileSync(join(path, file), text);
    }
    this.own(path);
    return path;
  }

  /** A fresh writable root filesystem on these lower directories. */
  overlay(lowerDirs: readonly string[] = [this.base]): OverlayMount & { readonly upperDir: string } {
    return { lowerDirs, upperDir: this.makeDir('upper'), workDir: this.makeDir('work') };
  }

  /** Runs `script` with the shell unless `args` says otherwise. */
  spec(script: string, options: SpecOptions = {}): RunSpec {
    return {
      rootfs: options.rootfs ?? this.overlay(),
      mounts: options.mounts ?? [],
      process: {
        args: options.args ?? ['/bin/sh', '-c', script],
        env: options.env ?? ['PATH=/bin', 'A=1'],
        cwd: options.cwd ?? '/',
        ...(options.user === undefined ? {} : { user: options.user }),
      },
      network: options.network ?? 'sandbox',
      hostname: 'buildkitsandbox',
      extraHosts: [],
      isInsecure: false,
      ...options.more,
    };
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
  [Symbol.dispose](): void {
    this.remove();
  }
}
