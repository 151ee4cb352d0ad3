// `tsbuild run` on the command line: its flags, and what the command opens.
import { isatty } from 'node:tty';
import { TsbuildError } from '../../solver/errors.ts';
import { runImage } from '../run/run-image.ts';
import { normaliseRunOptions, type RawRunFlags } from '../run/run-options.ts';
import { openExecutor } from '../sandbox/open-executor.ts';
import type { Store } from '../store/open-store.ts';
import { exitCodeOf } from './report-error.ts';
import { listenForSignals } from './run-signals.ts';

interface RunCommandWorld {
  readonly store: Store;
  readonly isRootless: boolean;
  readonly now: () => number;
}

/** Resolves to the exit code: the process's, or 128 and the number of the signal that ended the run. */
export async function runCommand(
  args: readonly [string, ...string[]],
  flags: RawRunFlags,
  { store, isRootless, now }: RunCommandWorld,
): Promise<number> {
  const { stdin, stdout, stderr, env } = process;
  const cwd = process.cwd();
  const options = normaliseRunOptions(args, flags, { env, cwd });
  const say = (text: string): void => void stderr.write(text);
  const terminals = [stdin.fd, stdout.fd].filter((fd) => isatty(fd));
  // A terminal that was closed is none any more.
  const isHungUp = (): boolean => terminals.length > 0 && !terminals.some((fd) => isatty(fd));
  using signals = listenForSignals({ hasTerminal: options.hasTerminal, isHungUp, say });
  const { ociRuntime: runtime, limits, security } = options;
  const warn = (message: string): void => say(`warning: ${message}\n`);
  // Streams of the process forget what went wrong.
  const unwritable = new Map<unknown, TsbuildError>();
  for (const [name, stream] of [['output', stdout] as const, ['error', stderr] as const]) {
    stream.on('error', (cause) => {
      unwritable.set(cause, new TsbuildError('TSB_RUN_OUTPUT', `cannot write to standard ${name}: ${cause.message}`));
    });
  }
  const executor = await openExecutor({ stateDir: `${store.root}/tmp/sandbox`, runtime, limits, security, warn });
  try {
    const { signal, onStarted } = signals;
    return await runImage(options, {
      store,
      executor,
      signal,
      onStarted,
      stdin,
      stdout,
      stderr,
      isRootless,
      cwd,
      env,
      now,
      warn,
    });
  } catch (error) {
    if (signals.signal.aborted) return exitCodeOf(signals.signal.reason);
    throw unwritable.get(error) ?? error;
  } finally {
    await executor.close();
  }
}
