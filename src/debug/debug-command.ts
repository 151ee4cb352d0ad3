// `tsbuild debug`: a process in the state a failed step left, or in the last good layer before it. What is kept is never
// altered: the session writes into a layer of its own that is thrown away at the end.
import { TsbuildError } from '../../solver/errors.ts';
import type { DebugFlags } from '../cli/program.ts';
import type { SecurityOptions } from '../cli/security-flags.ts';
import type { Executor, RunSpec } from '../sandbox/executor.ts';
import { RootView } from '../snapshot/root-view.ts';
import type { ActiveSnapshot } from '../snapshot/snapshotter.ts';
import type { FailureRecord, StepRecord } from '../store/builds.ts';
import type { Store } from '../store/open-store.ts';
import { type RunRecord, readRunRecord } from './run-record.ts';

interface DebugOptions {
  readonly store: Store;
  /** The executor as the step's build had it; closed here. */
  readonly openExecutor: (security: SecurityOptions | undefined) => Promise<Executor>;
  /** The build whose failed step is entered; undefined: the last one that failed. */
  readonly build: string | undefined;
  readonly flags: DebugFlags;
  readonly signal: AbortSignal;
  readonly stdin: () => NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** True when standard input is a terminal that the shell may take. */
  readonly hasTerminal: boolean;
  /** $TERM of this terminal. */
  readonly term: string | undefined;
}

const KEPT_HINT = 'what a failed RUN leaves is kept, of the last three for a week';
const SHELLS = ['/bin/bash', '/usr/bin/bash', '/bin/sh', '/usr/bin/sh', '/bin/busybox'];

/** Resolves to the exit code of the shell or command. Throws TSB_DEBUG_NOTHING_KEPT, TSB_DEBUG_NOT_KEPT, TSB_DEBUG_NO_SHELL, TSB_SANDBOX_…. */
export async function debugFailure(options: DebugOptions): Promise<number> {
  const { store, flags, stderr } = options;
  const failure = findFailure(store, options.build);
  const kept = reopen(store, failure);
  const { security, ...record } = readRunRecord(failure.runSpec ?? '{}');
  const session = store.snapshotter.prepare(failure.parentSnapshot);
  try {
    const lowerDirs = flags.before === true ? session.lowerDirs : [kept.upperDir, ...kept.lowerDirs];
    const isInteractive = options.hasTerminal && flags.command === undefined;
    const spec = debugSpec(record, { lowerDirs, session, flags, term: isInteractive ? options.term : undefined });
    const isLast = store.builds.list(1)[0]?.id === failure.build;
    if (isInteractive || !isLast) {
      const place = `build ${failure.build}${isLast ? '' : ', which is not the last one'}`;
      const banner = `${flags.before === true ? 'before' : 'after'} ${shownName(failure)} of ${place}\n`;
      stderr.write(isInteractive ? `${banner}leave with exit; what you change here is thrown away\n` : banner);
    }
    const executor = await options.openExecutor(security);
    try {
      return await enter(spec, executor, options);
    } finally {
      await executor.close();
    }
  } finally {
    store.snapshotter.discard(session);
  }
}

function findFailure(store: Store, build: string | undefined): FailureRecord {
  const [last] = store.builds.list(1);
  const asked = build ?? (last?.status === 'failed' ? last.id : undefined);
  const failure = store.builds.lastFailure(asked);
  if (failure) return failure;
  const kept = store.builds.failures();
  if (asked !== undefined) throw notKept(store, asked, kept);
  throw new TsbuildError('TSB_DEBUG_NOTHING_KEPT', 'no failed step is kept in this store', { hint: KEPT_HINT });
}

/** Never another failure than the one that is meant: it would be taken for it. */
function notKept({ builds }: Store, id: string, kept: readonly FailureRecord[]): TsbuildError {
  const failed = builds.steps(id).find(({ status }) => status === 'failed');
  const others = kept.map((failure) => `tsbuild debug ${failure.build} enters ${shownName(failure)}`);
  return new TsbuildError(
    'TSB_DEBUG_NOT_KEPT',
    builds.get(id) === undefined
      ? `no build "${id}" is on record`
      : `build ${id} left no state to enter${failed === undefined ? '' : `: what failed is ${shownName(failed)}`}`,
    { hint: others.length === 0 ? KEPT_HINT : `${KEPT_HINT}; ${others.join('; ')}` },
  );
}

function shownName({ name }: StepRecord): string {
  return name.replaceAll('\n', '\\n');
}

function reopen(store: Store, failure: FailureRecord): ActiveSnapshot {
  const kept = store.snapshotter.reopen(failure.activeKey);
  if (kept) return kept;
  throw new TsbuildError('TSB_DEBUG_NOTHING_KEPT', `the state of "${failure.name}" is gone`, {
    hint: 'build again to fail again',
  });
}

interface DebugSpecOptions {
  readonly lowerDirs: readonly string[];
  readonly session: ActiveSnapshot;
  readonly flags: DebugFlags;
  readonly term: string | undefined;
}

function debugSpec(record: RunRecord, { lowerDirs, session, flags, term }: DebugSpecOptions): RunSpec {
  const { upperDir, workDir } = session;
  const { env } = record.process;
  const hasTerm = term === undefined || env.some((pair) => pair.startsWith('TERM='));
  return {
    ...record,
    rootfs: { lowerDirs, upperDir, workDir },
    process: {
      ...record.process,
      env: hasTerm ? env : [...env, `TERM=${term}`],
      args: shellArgs(lowerDirs, flags.command),
    },
  };
}

function shellArgs(lowerDirs: readonly string[], command: string | undefined): readonly string[] {
  const view = new RootView(lowerDirs);
  const shell = SHELLS.find((path) => view.lookup(path, { followLast: true })?.type === 'file');
  if (shell === undefined) {
    throw new TsbuildError('TSB_DEBUG_NO_SHELL', 'the image has no shell to open', {
      hint: `looked for ${SHELLS.join(', ')}`,
    });
  }
  const start = shell.endsWith('/busybox') ? [shell, 'sh'] : [shell];
  return command === undefined ? start : [...start, '-c', command];
}

async function enter(
  spec: RunSpec,
  executor: Executor,
  { signal, stdin, stdout, stderr, hasTerminal, flags }: DebugOptions,
): Promise<number> {
  const isInteractive = hasTerminal && flags.command === undefined;
  if (flags.command !== undefined) return (await executor.run(spec, { stdout, stderr, signal })).code;
  if (!isInteractive) {
    const script = stdin();
    const io = { stdin: script, stdout, stderr, signal };
    return (await executor.run(spec, io).finally(() => script.destroy())).code;
  }
  // Not the user's own terminal: a process could type there, and the user's shell would run it.
  const { attachTerminal } = await import('../run/attach-terminal.ts');
  const terminal = attachTerminal({ stdin: stdin(), stdout });
  try {
    return (await executor.run(spec, { terminalFd: terminal.terminalFd, signal })).code;
  } finally {
    await terminal.finish();
  }
}
