// Runs a program for tsbuild-init with its streams joined to the caller's, and reads off it how it ended.
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { TsbuildError } from '../../solver/errors.ts';
import { makePipe, makeSocketPair } from '../sys/libc.ts';
import { codeOf } from '../sys/error-code.ts';
import { receiveDescriptor } from '../sys/received-descriptor.ts';
import { signalCommand } from './command-signal.ts';
import type { ExitStatus, NewTerminal, RunIO, RunSpec } from './executor.ts';
import type { InitExecutable, InitOutcome, InitProcess } from './init-process.ts';
import type { InitProgram } from './init-program.ts';
import { execStatus, setupError } from './setup-error.ts';

type Stdio = readonly [number, number, number];

function terminalOf({ terminal, terminalFd }: RunIO): Stdio | undefined {
  if (terminalFd !== undefined) return [terminalFd, terminalFd, terminalFd];
  return terminal === true ? [0, 1, 2] : undefined;
}

/** Runs the program to its end; an abort ends it and rejects with the signal's reason. */
export async function runInit(
  init: InitExecutable,
  program: InitProgram,
  io: RunIO,
  extraFd?: number,
): Promise<InitOutcome> {
  if (io.newTerminal !== undefined) return await runInNewTerminal(init, program, { ...io, ...io.newTerminal }, extraFd);
  const terminal = terminalOf(io);
  if (terminal === undefined) return await runPiped(init, program, io, extraFd);
  const process = init.start(program, terminal, extraFd);
  tellStarted(process, io);
  const outcome = await waitKilledBy(process, io.signal);
  if (outcome.kind === 'killed') io.signal.throwIfAborted();
  return outcome;
}

/** The terminal's other side comes over the socket that the program has as its standard input. */
async function runInNewTerminal(
  init: InitExecutable,
  program: InitProgram,
  io: RunIO & NewTerminal,
  extraFd: number | undefined,
): Promise<InitOutcome> {
  const [ours, theirs] = makeSocketPair();
  try {
    let process: InitProcess;
    try {
      process = init.start(program, [theirs, theirs, theirs], extraFd);
    } finally {
      closeSync(theirs);
    }
    const received = receiveDescriptor(ours).then((fd) => fd !== undefined && io.onMaster(fd));
    tellStarted(process, io);
    const outcome = await waitKilledBy(process, io.signal);
    await received;
    if (outcome.kind === 'killed') io.signal.throwIfAborted();
    return outcome;
  } finally {
    closeSync(ours);
  }
}

async function runPiped(
  init: InitExecutable,
  program: InitProgram,
  io: RunIO,
  extraFd: number | undefined,
): Promise<InitOutcome> {
  const pipes = [makePipe(), makePipe(), makePipe()] as const;
  const [stdin, stdout, stderr] = pipes;
  if (io.stdin === undefined) closeSync(stdin.writeFd);
  let process: InitProcess;
  try {
    process = init.start(program, [stdin.readFd, stdout.writeFd, stderr.writeFd], extraFd);
  } catch (error) {
    for (const fd of [stdout.readFd, stderr.readFd]) closeSync(fd);
    if (io.stdin !== undefined) closeSync(stdin.writeFd);
    throw error;
  } finally {
    for (const fd of [stdin.readFd, stdout.writeFd, stderr.writeFd]) closeSync(fd);
  }
  tellStarted(process, io);
  const stopFeeding = io.stdin === undefined ? undefined : feed(io.stdin, stdin.writeFd);
  const sinkFailed = new AbortController();
  const drains = [drain(stdout.readFd, io.stdout), drain(stderr.readFd, io.stderr)].map((drained) =>
    drained.catch((error: unknown) => sinkFailed.abort(error)),
  );
  const outcome = await waitKilledBy(process, AbortSignal.any([io.signal, sinkFailed.signal])).finally(stopFeeding);
  await Promise.all(drains);
  sinkFailed.signal.throwIfAborted();
  if (outcome.kind === 'killed') io.signal.throwIfAborted();
  return outcome;
}

function tellStarted(process: InitProcess, { onStarted }: RunIO): void {
  onStarted?.((signal) => process.isRunning && signalCommand(process.pid, signal));
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

/** Moves a stream's bytes into a pipe until the returned function is called; a reader that has gone ends it too. */
function feed(source: Readable, fd: number): () => void {
  const pipe = new Socket({ fd, readable: false, writable: true });
  const stop = (): void => {
    source.unpipe(pipe);
    source.pause();
    pipe.destroy();
  };
  pipe.once('error', stop);
  source.pipe(pipe);
  return stop;
}

/**
 * Moves all bytes of a pipe to a sink, which is not ended; rejects when the sink fails. A sink without a reader is the
 * process's to notice, when it writes the next time. Closes the pipe.
 */
async function drain(fd: number, sink: Writable | undefined): Promise<void> {
  const source = new Socket({ fd, readable: true, writable: false });
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      source.destroy();
      if (codeOf(error) !== 'EPIPE') reject(error);
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

/** What the outcome means to the caller. Throws TSB_SANDBOX_… when the sandbox itself failed. */
export function exitStatus(outcome: InitOutcome, program: InitProgram, spec: RunSpec): ExitStatus {
  switch (outcome.kind) {
    case 'killed':
      throw new TsbuildError(
        'TSB_SANDBOX_KILLED',
        `the sandbox was ended from outside (${signalName(outcome.signal)})`,
      );
    case 'failed': {
      const record = program.describe(outcome.recordAddress);
      const hasOwnFilter = typeof spec.seccomp === 'object';
      const status = execStatus(record, outcome.errno, spec.process.args[0] ?? '', hasOwnFilter);
      if (status === undefined) throw setupError(record, outcome.errno, hasOwnFilter);
      return status;
    }
    case 'ended': {
      const signal = outcome.waitStatus & 0x7f;
      if (signal === 0) return { code: (outcome.waitStatus >> 8) & 0xff, signal: undefined };
      return { code: 128 + signal, signal: signalName(signal) };
    }
  }
}
