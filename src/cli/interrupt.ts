// Ctrl-C and SIGTERM end a build through one AbortSignal; a second one ends the process at once.
import { TsbuildError } from '../../solver/errors.ts';

/** Disposing it gives the signals back, unless one has come: then nothing else may end the process. */
export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
}

/** Listens until disposed, and to the end once interrupted. The signal's reason is a TsbuildError with exit code 130. */
export function listenForInterrupt(onFirst: (signal: NodeJS.Signals) => void): Interrupt {
  const controller = new AbortController();
  const listener = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(130);
    onFirst(signal);
    controller.abort(new TsbuildError('TSB_INTERRUPTED', `interrupted by ${signal}`, { exitCode: 130 }));
  };
  const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, listener);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      // The process is about to end: another one must not end it in another way.
      if (controller.signal.aborted) return;
      for (const signal of signals) process.off(signal, listener);
    },
  };
}
