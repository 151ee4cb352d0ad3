// `tsbuild run`: a process in an image, in the sandbox of a build step. What it writes is thrown away with it.
import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import type { Executor, ExitStatus, RunIO, RunSpec, SendSignal } from '../sandbox/executor.ts';
import type { Store } from '../store/open-store.ts';
import { codeOf } from '../sys/error-code.ts';
import { tryLock } from '../sys/libc.ts';
import { makeDirectories } from '../sys/make-directories.ts';
import { findImage, type FoundImage } from './find-image.ts';
import type { RunOptions } from './run-options.ts';
import { prepareRoot } from './prepare-root.ts';
import { makeRunSpec } from './run-spec.ts';

/** Ctrl-C, on a terminal whose keys nobody has changed. */
const INTERRUPT_KEY = '\x03';

interface RunWorld {
  readonly store: Store;
  readonly executor: Executor;
  readonly signal: AbortSignal;
  /** As the sandbox has it. */
  readonly onStarted: NonNullable<RunIO['onStarted']>;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly isRootless: boolean;
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly now: () => number;
  readonly warn: (message: string) => void;
}

/**
 * Resolves to the process's exit code: 126 or 127 when it could not be executed. Throws TSB_RUN_…, TSB_SANDBOX_… and what
 * fetching the image throws.
 */
export async function runImage(options: RunOptions, world: RunWorld): Promise<number> {
  if (options.hasTerminal && options.isInteractive && !world.stdin.isTTY) {
    throw new TsbuildError('TSB_RUN_NO_TERMINAL', 'the input device is not a terminal', {
      hint: 'leave out -t to read from a file or a pipe',
    });
  }
  const { store, stderr } = world;
  using _ = takeName(store, options.name);
  const image = await findImage(options.image, { ...world, platform: options.platform });
  await unpackImage(image, world);
  const active = store.snapshotter.prepare(image.snapshot);
  try {
    const { lowerDirs, upperDir, workDir } = active;
    prepareRoot(active, image.config, world.isRootless);
    const hostname = options.hostname ?? randomBytes(6).toString('hex');
    for (const { source } of options.volumes) mkdirSyncIfAbsent(source);
    const rootfs = { lowerDirs, upperDir, workDir };
    const status = await attachAndRun(makeRunSpec({ config: image.config, options, rootfs, hostname }), options, world);
    if (status.execFailure !== undefined) {
      const { message, hint } = status.execFailure;
      stderr.write(`error: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`);
    }
    if (status.memoryKill !== undefined) {
      const { memoryKillText } = await import('../sandbox/memory-kill.ts');
      stderr.write(`${status.code === 0 ? 'warning' : 'error'}: ${memoryKillText(status.memoryKill)}\n`);
    }
    return status.code;
  } finally {
    store.snapshotter.discard(active);
  }
}

/** Layers of an imported cache that nobody has needed yet are here by name only. */
async function unpackImage(
  { snapshot }: FoundImage,
  { store, isRootless, signal, env, warn }: RunWorld,
): Promise<void> {
  if (snapshot === undefined) return;
  const { LazyLayers } = await import('../image/lazy-layers.ts');
  const { content, snapshotter, layerBlobs } = store;
  const registry = async () => (await import('../registry/open-client.ts')).openRegistryClient(env);
  const lazyLayers = new LazyLayers({ content, snapshotter, layerBlobs, registry, isRootless });
  await lazyLayers.unpackChain(snapshot, { signal, warn });
}

async function attachAndRun(spec: RunSpec, options: RunOptions, world: RunWorld): Promise<ExitStatus> {
  const { executor, stdin, stdout, stderr, signal, onStarted } = world;
  if (!options.hasTerminal) {
    const io: RunIO = { stdout, stderr, signal, onStarted, ...(options.isInteractive && { stdin }) };
    return await executor.run(spec, io).finally(() => options.isInteractive && stdin.destroy());
  }
  const { attachTerminal, joinTerminal } = await import('./attach-terminal.ts');
  const streams = { stdin: options.isInteractive ? stdin : undefined, stdout };
  // A runtime makes the sandbox's terminal itself and passes on what happens there.
  if (options.ociRuntime) {
    const { terminalFd, type, finish } = attachTerminal(streams);
    // runc ends with 0 for a SIGINT of its own when it has a terminal; the key is the process's.
    const onReady = (send: SendSignal): void =>
      onStarted((name) => {
        if (name !== 'SIGINT') return send(name);
        type(INTERRUPT_KEY);
        return true;
      });
    return await executor.run(spec, { terminalFd, signal, onStarted: onReady }).finally(finish);
  }
  const { size, onMaster, finish } = joinTerminal(streams);
  return await executor.run(spec, { newTerminal: { size, onMaster }, signal, onStarted }).finally(finish);
}

/** As `docker run` does, so that a volume's directory need not be made first. */
function mkdirSyncIfAbsent(path: string): void {
  try {
    makeDirectories(path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') {
      const reason = (error as Error).message;
      throw new TsbuildError('TSB_RUN_VOLUME', `the directory ${path} of --volume cannot be made: ${reason}`);
    }
  }
}

/** A name belongs to one run at a time. The lock ends with this process, however it ends. */
function takeName({ root }: Store, name: string | undefined): Disposable {
  if (name === undefined) return { [Symbol.dispose]() {} };
  const fd = openSync(join(root, 'locks', `run-${name}`), 'a', 0o600);
  if (!tryLock(fd, 'exclusive')) {
    closeSync(fd);
    throw new TsbuildError('TSB_RUN_NAME_TAKEN', `the name "${name}" is in use by another tsbuild run`, {
      hint: 'choose another --name, or end that one',
    });
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}
