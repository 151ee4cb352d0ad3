// Signals sent to `tsbuild run`: as with `docker run` they are the process's, and the third that asks to end ends it.
import { constants } from 'node:os';
import { TsbuildError } from '../../solver/errors.ts';
import { exitCodeOf } from './report-error.ts';
import type { SendSignal } from '../sandbox/executor.ts';

/** Those that a program may handle, but for what the kernel tells tsbuild of tsbuild: children, pipes, memory, job control. */
const FORWARDED: readonly NodeJS.Signals[] = [
  ...(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGTERM', 'SIGSTKFLT'] as const),
  ...(['SIGCONT', 'SIGTSTP', 'SIGVTALRM', 'SIGWINCH', 'SIGIO', 'SIGPWR', 'SIGSYS'] as const),
];
/** These end a run that has no process yet. */
const ENDING: ReadonlySet<NodeJS.Signals> = new Set(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM']);
/** As many of these end a run whatever the process does. */
const FORCING: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGTERM']);
const FORCING_COUNT = 3;
const RETRY_MS = 5;
/** A session's other processes are not told when its terminal is closed, and neither is who neither reads nor writes. */
const HANG_UP_POLL_MS = 500;
/** What a process has to come to an end once its terminal is gone. */
const HANG_UP_GRACE_MS = 1000;

/** Disposing it gives the signals back, unless one has ended the run: then nothing else may end the process. */
export interface RunSignals extends Disposable {
  /** Aborted by a signal that ends the run; the reason's exit code is 128 + the number of the signal that ended it. */
  readonly signal: AbortSignal;
  /** To be told of each process that is started. */
  readonly onStarted: (send: SendSignal) => void;
}

interface RunSignalsOptions {
  /** The kernel tells the process on a terminal of its own itself that the window's size has changed. */
  readonly hasTerminal: boolean;
  /** Whether the terminal that there was when tsbuild started has been closed. */
  readonly isHungUp: () => boolean;
  readonly say: (text: string) => void;
}

/** Listens until disposed, and to the end once aborted. */
export function listenForSignals({ hasTerminal, isHungUp, say }: RunSignalsOptions): RunSignals {
  const controller = new AbortController();
  const pending: NodeJS.Signals[] = [];
  let send: SendSignal | undefined;
  let timer: NodeJS.Timeout | undefined;
  let hangUpTimer: NodeJS.Timeout | undefined;
  let forcing = 0;
  const abort = (signal: NodeJS.Signals, message: string): void =>
    controller.abort(new TsbuildError('TSB_INTERRUPTED', message, { exitCode: 128 + constants.signals[signal] }));
  const deliver = (): void => {
    timer = undefined;
    for (let next = pending[0]; next !== undefined; next = pending[0]) {
      // Until the command is there, process 1 of its namespace is deaf.
      if (send?.(next) !== true) {
        timer = setTimeout(deliver, RETRY_MS);
        return;
      }
      pending.shift();
    }
  };
  const pass = (signal: NodeJS.Signals): void => {
    pending.push(signal);
    if (timer === undefined) deliver();
  };
  // Nobody can reach the process any more.
  const hangUp = (): void => {
    hangUpTimer ??= setTimeout(() => abort('SIGHUP', 'the terminal was closed'), HANG_UP_GRACE_MS);
  };
  const stopWatching = watchTerminal(hasTerminal ? isHungUp : () => false, () => {
    if (send !== undefined && hangUpTimer === undefined) pass('SIGHUP');
    hangUp();
  });
  const listener = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(exitCodeOf(controller.signal.reason));
    if (FORCING.has(signal)) forcing += 1;
    if (forcing >= FORCING_COUNT && send !== undefined) {
      // The user's terminal shows bytes as they are while it is the process's.
      say(`${FORCING_COUNT} times SIGINT or SIGTERM: the process is ended by force${hasTerminal ? '\r' : ''}\n`);
      abort('SIGKILL', 'ended by force');
    } else if (send === undefined) {
      if (ENDING.has(signal)) abort(signal, `interrupted by ${signal}`);
    } else {
      if (signal === 'SIGHUP' && hasTerminal && isHungUp()) hangUp();
      pass(signal);
    }
  };
  const signals = FORWARDED.filter((signal) => signal !== 'SIGWINCH' || !hasTerminal);
  for (const signal of signals) process.on(signal, listener);
  return {
    signal: controller.signal,
    onStarted: (started) => {
      send = started;
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      stopWatching();
      clearTimeout(hangUpTimer);
      // The process is about to end: another one must not end it in another way.
      if (controller.signal.aborted) return;
      for (const signal of signals) process.off(signal, listener);
    },
  };
}

/** Says once that the terminal is gone; until the function returned is called. */
function watchTerminal(isHungUp: () => boolean, onHangUp: () => void): () => void {
  const poll = setInterval(() => {
    if (!isHungUp()) return;
    clearInterval(poll);
    onHangUp();
  }, HANG_UP_POLL_MS).unref();
  return () => clearInterval(poll);
}
