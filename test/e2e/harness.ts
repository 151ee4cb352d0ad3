// What the end-to-end tests share: the bundled command as root and as an ordinary user, stores and contexts of their own.
import { type SpawnSyncReturns, execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export const PROJECT = join(import.meta.dirname, '..', '..');
export const SHARED = join(PROJECT, '..', 'shared');
export const REGISTRY = process.env['TSBUILD_LAB_REGISTRY'] ?? '127.0.0.1:5000';
const TEST_USER = 'tsbuild-test';

export const isRoot = process.getuid?.() === 0;

/** True when the lab's registry answers. */
export function hasLab(): boolean {
  return (
    spawnSync('python3', ['-c', `import urllib.request; urllib.request.urlopen("http://${REGISTRY}/v2/", timeout=2)`])
      .status === 0
  );
}

/** True when all these programs are on PATH. */
export function hasPrograms(...names: readonly string[]): boolean {
  return names.every((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0);
}

export interface Caller {
  readonly name: string;
  /** Directory for the caller's stores, contexts and outputs. */
  readonly home: string;
  /** Runs the bundled command; never throws. */
  tsbuild(args: readonly string[], options?: RunOptions): SpawnSyncReturns<string>;
  /** Runs any program as the caller. */
  run(program: string, args: readonly string[], options?: RunOptions): SpawnSyncReturns<string>;
  /** argv prefix that runs a program as the caller. */
  readonly prefix: readonly string[];
  /** argv of the bundled command. */
  readonly command: readonly string[];
  dispose(): void;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly store?: string;
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
}

/** The command installed in a directory that everyone may read: what npm would have installed, and Node. */
export function installCommand(): string {
  const place = mkdtempSync(join(tmpdir(), 'tsbuild-e2e-'));
  chmodSync(place, 0o755);
  cpSync(join(PROJECT, 'dist'), join(place, 'dist'), { recursive: true });
  cpSync(join(PROJECT, 'package.json'), join(place, 'package.json'));
  mkdirSync(join(place, 'node_modules'));
  for (const name of ['koffi', '@koromix'])
    cpSync(join(PROJECT, 'node_modules', name), join(place, 'node_modules', name), {
      recursive: true,
      dereference: true,
    });
  cpSync(process.execPath, join(place, 'node'));
  return place;
}

/** This process's own user (root in CI). */
export function rootCaller(install: string): Caller {
  return makeCaller('root', install, []);
}

/** An ordinary user with a range of subordinate ids, made on first use. */
export function userCaller(install: string): Caller {
  if (spawnSync('id', [TEST_USER]).status !== 0) execFileSync('useradd', ['-m', TEST_USER]);
  return makeCaller(TEST_USER, install, ['runuser', '-u', TEST_USER, '--']);
}

/** An ordinary user without subordinate ids, who goes when the caller is disposed of. */
export function singleIDCaller(install: string): Caller {
  const name = `tsbuild-one-${process.pid}`;
  execFileSync('useradd', ['--system', '--no-create-home', name]);
  const caller = makeCaller(name, install, ['runuser', '-u', name, '--']);
  const dispose = (): void => {
    caller.dispose();
    spawnSync('userdel', [name]);
  };
  return { ...caller, dispose };
}

function makeCaller(name: string, install: string, prefix: readonly string[]): Caller {
  const home = mkdtempSync(join(tmpdir(), `tsbuild-${name}-`));
  if (prefix.length > 0) execFileSync('chown', [name, home]);
  const command = [join(install, 'node'), join(install, 'dist', 'tsbuild.js')];
  const run = (program: string, args: readonly string[], options: RunOptions = {}): SpawnSyncReturns<string> => {
    const [first = program, ...rest] = [...prefix, program, ...args];
    return spawnSync(first, rest, {
      encoding: 'utf8',
      cwd: options.cwd ?? home,
      timeout: options.timeoutMs ?? 300_000,
      maxBuffer: 1 << 28,
      ...(options.input === undefined ? { stdio: ['ignore', 'pipe', 'pipe'] as const } : { input: options.input }),
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: home,
        TSBUILD_ROOT: options.store ?? join(home, 'store'),
        ...options.env,
      },
    }) as SpawnSyncReturns<string>;
  };
  const [node = '', script = ''] = command;
  return {
    name,
    home,
    prefix,
    command,
    run,
    tsbuild: (args, options) => run(node, [script, ...args], options),
    dispose: () => {
      // Files of subordinate ids can only be removed from inside a user namespace, or by root.
      rmSync(home, { recursive: true, force: true });
    },
  };
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

/** The OCI layout of a small image made from this machine's own shell, for builds without a registry. */
export function makeBase(place: string): string {
  const base = join(place, 'base');
  if (!existsSync(base)) execFileSync(process.execPath, [join(PROJECT, '.build', 'make-base.mjs'), base]);
  return base;
}

/** Both streams of a finished command, for messages and searches. */
export function outputOf(result: SpawnSyncReturns<string>): string {
  return `${result.stdout}${result.stderr}`;
}
