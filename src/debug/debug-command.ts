// `tsbuild debug`: a process in the state a failed step left, or in the last good layer before it. What is kept is never
// altered: the session writes into a layer of its own that is thrown away at the end.
import { TsbuildError } from '../../solver/errors.ts';
import type { DebugFlags } from '../cli/program.ts';
import type { Executor, RunSpec } from '../sandbox/executor.ts';
import { RootView } from '../snapshot/root-view.ts';
import type { ActiveSnapshot } from '../snapshot/snapshotter.ts';
import type { FailureRecord } from '../store/builds.ts';
import type { Store } from '../store/open-store.ts';
import { readRunRecord } from './run-record.ts';

export interface DebugOptions {
  readonly store: Store;
  readonly executor: Executor;
  readonly flags: DebugFlags;
  readonly signal: AbortSignal;
  readonly stdin: () => NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** True when standard input is a terminal that the shell may take. */
  readonly hasTerminal: boolean;
}

const SHELLS = ['/bin/bash', '/usr/bin/bash', '/bin/sh', '/usr/bin/sh', '/bin/busybox'];

/** Resolves to the exit code of the shell or command. Throws TSB_DEBUG_NOTHING_KEPT, TSB_DEBUG_NO_SHELL, TSB_SANDBOX_…. */
export async function debugFailure(options: DebugOptions): Promise<number> {
  const { store, flags, stderr } = options;
  const failure = findFailure(store);
  const kept = reopen(store, failure);
  const session = store.snapshotter.prepare(failure.parentSnapshot);
  try {
    const lowerDirs = flags.before === true ? session.lowerDirs : [kept.upperDir, ...kept.lowerDirs];
    const spec = debugSpec(failure, { lowerDirs, session, flags });
    if (options.hasTerminal && flags.command === undefined) {
      stderr.write(
        `${flags.before === true ? 'before' : 'after'} ${failure.name}\nleave with exit; what you change here is thrown away\n`,
      );
    }
    return await enter(spec, options);
  } finally {
    store.snapshotter.discard(session);
  }
}

function findFailure(store: Store): FailureRecord {
  const failure = store.builds.lastFailure();
  if (failure) return failure;
  throw new TsbuildError('TSB_DEBUG_NOTHING_KEPT', 'no failed step is kept in this store', {
    hint: 'the last three failed steps are kept for a week; build again to fail again',
  });
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
}

function debugSpec(failure: FailureRecord, { lowerDirs, session, flags }: DebugSpecOptions): RunSpec {
  const record = readRunRecord(failure.runSpec ?? '{}');
  const { upperDir, workDir } = session;
  return {
    ...record,
    rootfs: { lowerDirs, upperDir, workDir },
    process: { ...record.process, args: shellArgs(lowerDirs, flags.command) },
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
  { executor, signal, stdin, stdout, stderr, hasTerminal, flags }: DebugOptions,
): Promise<number> {
  const isInteractive = hasTerminal && flags.command === undefined;
  if (!isInteractive) return (await executor.run(spec, { stdout, stderr, signal })).code;
  // Not the user's own terminal: a process could type there, and the user's shell would run it.
  const { attachTerminal } = await import('../run/attach-terminal.ts');
  const terminal = attachTerminal({ stdin: stdin(), stdout });
  try {
    return (await executor.run(spec, { terminalFd: terminal.terminalFd, signal })).code;
  } finally {
    await terminal.finish();
  }
}
