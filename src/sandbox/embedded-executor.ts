// The executor that needs nothing installed: namespaces, overlayfs and the rest through tsbuild-init.
import { closeSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { TsbuildError } from '../../solver/errors.ts';
import { makePipe } from '../sys/libc.ts';
import type { Executor, ExitStatus, OverlayMount, RunIO, RunSpec } from './executor.ts';
import { defaultFilter } from './identity-steps.ts';
import { InitExecutable, type InitOutcome, type InitProcess } from './init-process.ts';
import type { InitProgram } from './init-program.ts';
import { removeStubs } from './mount-stubs.ts';
import { planRun } from './run-plan.ts';
import { compileRun } from './run-program.ts';
import { readSandboxHost, type SandboxHost } from './sandbox-host.ts';
import { execStatus, setupError } from './setup-error.ts';

export interface EmbeddedExecutorOptions {
  /** A directory of the executor's own: holds a few empty directories, no file. */
  readonly stateDir: string;
  /**
   * Leaves writing a step's changes to disk to the caller: the kernel then neither syncs the file system when a step
   * ends nor on the step's own fsyncs. Only a crash of the machine can tell. Default false.
   */
  readonly isVolatile?: boolean;
}

interface Prepared {
  readonly host: SandboxHost;
  readonly filter: Buffer;
  readonly init: InitExecutable;
}

export class EmbeddedExecutor implements Executor {
  readonly #stateDir: string;
  readonly #isVolatile: boolean;
  #prepared: Prepared | undefined;

  constructor({ stateDir, isVolatile }: EmbeddedExecutorOptions) {
    this.#stateDir = stateDir;
    this.#isVolatile = isVolatile === true;
  }

  async run(spec: RunSpec, io: RunIO): Promise<ExitStatus> {
    io.signal.throwIfAborted();
    const { host, filter, init } = this.#prepare();
    const plan = planRun(spec, io.terminal === true, host);
    const program = compileRun(plan, host, filter);
    clearVolatileMarks(spec);
    try {
      const outcome = plan.isTerminal ? await runInTerminal(init, program, io) : await runPiped(init, program, io);
      return exitStatus(outcome, program, spec);
    } finally {
      if (spec.rootfs.upperDir !== undefined) removeStubs(spec.rootfs.upperDir, plan.stubs);
      if (host.isVolatile) clearVolatileMarks(spec);
    }
  }

  async close(): Promise<void> {
    this.#prepared?.init.close();
    this.#prepared = undefined;
  }

  #prepare(): Prepared {
    if (this.#prepared === undefined) {
      const host = readSandboxHost(this.#stateDir, this.#isVolatile);
      this.#prepared = { host, filter: defaultFilter(host), init: new InitExecutable(host.arch) };
    }
    return this.#prepared;
  }
}

/** Overlayfs refuses a work directory that a volatile mount has used, lest someone believe it is on disk. */
function clearVolatileMarks(spec: RunSpec): void {
  const overlays: OverlayMount[] = [spec.rootfs];
  for (const mount of spec.mounts) if (mount.kind === 'overlay') overlays.push(mount.overlay);
  for (const { workDir } of overlays) {
    if (workDir !== undefined) rmSync(join(workDir, 'work/incompat'), { recursive: true, force: true });
  }
}

async function runInTerminal(init: InitExecutable, program: InitProgram, { signal }: RunIO): Promise<InitOutcome> {
  const outcome = await waitKilledBy(init.start(program, [0, 1, 2]), signal);
  if (outcome.kind === 'killed') signal.throwIfAborted();
  return outcome;
}

async function runPiped(init: InitExecutable, program: InitProgram, io: RunIO): Promise<InitOutcome> {
  const pipes = [makePipe(), makePipe(), makePipe()] as const;
  const [stdin, stdout, stderr] = pipes;
  closeSync(stdin.writeFd);
  let process: InitProcess;
  try {
    process = init.start(program, [stdin.readFd, stdout.writeFd, stderr.writeFd]);
  } catch (error) {
    for (const fd of [stdout.readFd, stderr.readFd]) closeSync(fd);
    throw error;
  } finally {
    for (const fd of [stdin.readFd, stdout.writeFd, stderr.writeFd]) closeSync(fd);
  }
  const sinkFailed = new AbortController();
  const drains = [drain(stdout.readFd, io.stdout), drain(stderr.readFd, io.stderr)].map((drained) =>
    drained.catch((error: unknown) => sinkFailed.abort(error)),
  );
  const outcome = await waitKilledBy(process, AbortSignal.any([io.signal, sinkFailed.signal]));
  await Promise.all(drains);
  sinkFailed.signal.throwIfAborted();
  if (outcome.kind === 'killed') io.signal.throwIfAborted();
  return outcome;
}

/** Waits for the end, which an abort brings about. */
async function waitKilledBy(process: InitProcess, signal: AbortSignal): Promise<InitOutcome> {
  const kill = (): void => process.kill();
  signal.addEventListener('abort', kill, { once: true });
  if (signal.aborted) kill();
  try {
    return await process.wait();
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

/** Moves all bytes of a pipe to a sink, which is not ended; rejects when the sink fails. Closes the pipe. */
async function drain(fd: number, sink: Writable | undefined): Promise<void> {
  const source = new Socket({ fd, readable: true, writable: false });
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      source.destroy();
      reject(error);
    };
    source.once('error', fail);
    source.once('close', () => {
      sink?.off('error', fail);
      resolve();
    });
    sink?.once('error', fail);
    if (sink === undefined) source.resume();
    else source.pipe(sink, { end: false });
  });
}

const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

function signalName(signal: number): string {
  return SIGNAL_NAMES.get(signal) ?? `signal ${signal}`;
}

function exitStatus(outcome: InitOutcome, program: InitProgram, spec: RunSpec): ExitStatus {
  switch (outcome.kind) {
    case 'killed':
      throw new TsbuildError(
        'TSB_SANDBOX_KILLED',
        `the sandbox was ended from outside (${signalName(outcome.signal)})`,
      );
    case 'failed': {
      const record = program.describe(outcome.recordAddress);
      const status = execStatus(record, outcome.errno, spec.process.args[0] ?? '');
      if (status === undefined) throw setupError(record, outcome.errno);
      return status;
    }
    case 'ended': {
      const signal = outcome.waitStatus & 0x7f;
      if (signal === 0) return { code: (outcome.waitStatus >> 8) & 0xff, signal: undefined };
      return { code: 128 + signal, signal: signalName(signal) };
    }
  }
}
