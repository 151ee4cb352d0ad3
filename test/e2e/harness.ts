// What the end-to-end tests share: the bundled command as root and as an ordinary user, stores and contexts of their own.
import { type SpawnSyncReturns, execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, inject, type TestOptions } from 'vitest';
import { describeNeeding, type Need, PROJECT } from '../needs.ts';
import { openTun } from '../open-tun.ts';

export { PROJECT, REGISTRY } from '../needs.ts';

const TEST_USER = 'tsbuild-test';

interface DescribeOptions extends TestOptions {
  readonly needs?: readonly Need[];
}

/** Describes the command as root. The caller's directory is made on first use and removed after the last test. */
export function describeRoot(title: string, options: DescribeOptions, tests: (caller: Caller) => void): void {
  describeAs(rootCaller(), title, options, tests, ['root']);
}

/** Describes the command twice: as this process's own user (root in CI), and as an ordinary user. */
export function describeCallers(title: string, options: DescribeOptions, tests: (caller: Caller) => void): void {
  describeAs(rootCaller(), `${title} as root`, options, tests);
  describeAs(userCaller(), `${title} as an ordinary user`, options, tests, USER_NEEDS);
}

/** What it takes to act as an ordinary user who may use a range of ids. */
export const USER_NEEDS: readonly Need[] = ['root', 'newuidmap', 'runuser'];

function describeAs(
  caller: Caller,
  title: string,
  { needs = [], ...options }: DescribeOptions,
  tests: (caller: Caller) => void,
  ownNeeds: readonly Need[] = [],
): void {
  const describeTests = (): void => {
    afterAll(() => caller.dispose());
    tests(caller);
  };
  describeNeeding([...new Set([...ownNeeds, ...needs])], title, describeTests, options);
}

export interface Caller extends Disposable {
  /** `root`, or the name of the ordinary user. */
  readonly name: string;
  /** Directory for the caller's stores, contexts and outputs; made on first use. */
  readonly home: string;
  /** Runs the bundled command; never throws. */
  tsbuild(args: readonly string[], options?: RunOptions): SpawnSyncReturns<string>;
  /** Runs any program as the caller. */
  run(program: string, args: readonly string[], options?: RunOptions): SpawnSyncReturns<string>;
  /** argv prefix that runs a program as the caller. */
  readonly prefix: readonly string[];
  /** argv of the bundled command. */
  readonly command: readonly [node: string, script: string];
  dispose(): void;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly store?: string;
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
}

/** The command installed in a directory that everyone may read: what npm would have installed, Node, and a base image. */
export function installCommand(): string {
  const place = inject('sharedPlace');
  const installed = join(place, 'installed');
  if (existsSync(installed)) return installed;
  const draft = mkdtempSync(join(place, 'draft-'));
  chmodSync(draft, 0o755);
  for (const name of ['dist', 'package.json', 'node_modules/koffi', 'node_modules/@koromix']) {
    cpSync(join(PROJECT, name), join(draft, name), { recursive: true, dereference: true });
  }
  cpSync(process.execPath, join(draft, 'node'));
  execFileSync(process.execPath, [join(PROJECT, '.build', 'make-base.mjs'), join(draft, 'base')]);
  try {
    renameSync(draft, installed);
  } catch (error) {
    // Another test file was first.
    if (!existsSync(installed)) throw error;
    rmSync(draft, { recursive: true });
  }
  return installed;
}

/** The OCI layout of a small image made from this machine's own shell, for builds without a registry. */
export function makeBase(): string {
  return join(installCommand(), 'base');
}

/** This process's own user (root in CI). */
export function rootCaller(): Caller {
  return new TestCaller('root', []);
}

/** An ordinary user with a range of subordinate ids, made on first use. */
export function userCaller(): Caller {
  return new TestCaller(TEST_USER, [...openTun(), 'runuser', '-u', TEST_USER, '--']);
}

/** An ordinary user without subordinate ids, who goes when the caller is disposed of. */
export function singleIDCaller(): Caller {
  const name = `tsbuild-one-${process.pid}`;
  return new TestCaller(name, ['runuser', '-u', name, '--'], ['--system', '--no-create-home']);
}

class TestCaller implements Caller {
  readonly name: string;
  readonly prefix: readonly string[];
  /** For a user of this caller's own. */
  readonly #userOptions: readonly string[] | undefined;
  #home: string | undefined;

  constructor(name: string, prefix: readonly string[], userOptions?: readonly string[]) {
    this.name = name;
    this.prefix = prefix;
    this.#userOptions = userOptions;
  }

  get home(): string {
    this.#home ??= this.#makeHome();
    return this.#home;
  }

  get command(): readonly [node: string, script: string] {
    const install = installCommand();
    return [join(install, 'node'), join(install, 'dist', 'tsbuild.js')];
  }

  tsbuild(args: readonly string[], options?: RunOptions): SpawnSyncReturns<string> {
    const [node, script] = this.command;
    return this.run(node, [script, ...args], options);
  }

  run(program: string, args: readonly string[], options: RunOptions = {}): SpawnSyncReturns<string> {
    const [first = program, ...rest] = [...this.prefix, program, ...args];
    return spawnSync(first, rest, {
      encoding: 'utf8',
      cwd: options.cwd ?? this.home,
      timeout: options.timeoutMs ?? 300_000,
      maxBuffer: 1 << 28,
      ...(options.input === undefined ? { stdio: ['ignore', 'pipe', 'pipe'] as const } : { input: options.input }),
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: this.home,
        TSBUILD_ROOT: options.store ?? join(this.home, 'store'),
        ...options.env,
      },
    }) as SpawnSyncReturns<string>;
  }

  dispose(): void {
    // Files of subordinate ids can only be removed from inside a user namespace, or by root.
    if (this.#home !== undefined) rmSync(this.#home, { recursive: true, force: true });
    if (this.#home !== undefined && this.#userOptions !== undefined) spawnSync('userdel', [this.name]);
    this.#home = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #makeHome(): string {
    const home = mkdtempSync(join(tmpdir(), `tsbuild-${this.name}-`));
    if (this.prefix.length > 0) {
      const options = (this.#userOptions ?? ['-m']).join(' ');
      const makeUser = `id ${this.name} 2>/dev/null || useradd ${options} ${this.name}`;
      execFileSync('flock', [join(inject('sharedPlace'), 'user'), 'sh', '-c', makeUser], { stdio: 'ignore' });
      execFileSync('chown', [this.name, home]);
    }
    return home;
  }
}

/** Files of a context: text, bytes, `{ link }`, or `{ text, mode }`. */
export type ContextFiles = Readonly<
  Record<string, string | Buffer | { readonly link: string } | { readonly text: string; readonly mode: number }>
>;

/** Writes a build context under the caller's home and returns its directory. */
export function writeContext(caller: Caller, files: ContextFiles): string {
  const context = mkdtempSync(join(caller.home, 'context-'));
  for (const [path, content] of Object.entries(files)) {
    const full = join(context, path);
    mkdirSync(dirname(full), { recursive: true });
    if (typeof content === 'string' || Buffer.isBuffer(content)) writeFileSync(full, content);
    else if ('link' in content) symlinkSync(content.link, full);
    else {
      writeFileSync(full, content.text);
      chmodSync(full, content.mode);
    }
  }
  if (caller.prefix.length > 0) execFileSync('chown', ['-R', caller.name, context]);
  return context;
}

/** Both streams of a finished command, for messages and searches. */
export function outputOf(result: SpawnSyncReturns<string>): string {
  return `${result.stdout}${result.stderr}`;
}
