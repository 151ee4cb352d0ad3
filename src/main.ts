// The command: reads argv and environment, opens what the commands share, and turns what they throw into a report.
import { isatty } from 'node:tty';
import { renderExcerpt } from '../frontend/excerpt.ts';
import type { SourceFile } from '../frontend/source-file.ts';
import { type Digest, isDigest } from '../solver/digest.ts';
import { TsbuildError } from '../solver/errors.ts';
import type { CallMode } from './call/call-mode.ts';
import { type Interrupt, listenForInterrupt } from './cli/interrupt.ts';
import { type BuildOptions, normaliseBuildOptions, type RawBuildFlags } from './cli/options.ts';
import { type Commands, type DebugFlags, type DoctorFlags, type ImagesFlags, runProgram } from './cli/program.ts';
import { RUN_FAILED } from './cli/run-flags.ts';
import { usageError } from './cli/usage-error.ts';
import { enterNamespace } from './enter-namespace.ts';
import { exitCodeOf, renderError, type ReportOptions } from './cli/report-error.ts';
import { createPacedWriter } from './progress/paced-writer.ts';
import { createLogTail, KEPT_BYTES, MAX_REPORTED_BYTES, type LogTail } from './progress/log-tail.ts';
import { openStepLog } from './progress/step-log.ts';
import type { RawRunFlags } from './run/run-options.ts';
import { needsUserNamespace, userNamespaceWarning } from './sandbox/user-namespace.ts';
import type { Session } from './session.ts';
import { storeCommands } from './store-commands.ts';
import { openStore, type Store } from './store/open-store.ts';
import { defaultStoreRoot } from './store/store-root.ts';
import { nowMs as now } from './sys/clock.ts';
import { codeOf } from './sys/error-code.ts';
import { recordsOwners } from './sys/recorded-owner.ts';
import { absoluteSearchPath } from './sys/search-path.ts';

const { env, stderr, stdout } = process;
/** Characters; generated lines can be endless. */
const EXCERPT_LINE_LENGTH = 500;
const paced = createPacedWriter(stderr);

/** What the report of an error needs to know of the run. */
interface RunFacts {
  readonly sources: SourceFile[];
  readonly tail: LogTail;
  /** Of each step that ran. */
  readonly logs: Map<Digest, string>;
  /** How much of a failed step's output the report repeats. */
  reportedBytes: number;
}

const facts: RunFacts = { sources: [], tail: createLogTail(), logs: new Map(), reportedBytes: KEPT_BYTES };
const commands: Commands = {
  build: buildCommand,
  images: imagesCommand,
  debug: debugCommand,
  ...storeCommands({
    open: openOwnStore,
    becomeRoot,
    interruptible: (what) => interruptible(what, (text) => stderr.write(text)),
    stdout,
    now,
  }),
  doctor: doctorCommand,
  run: runCommand,
};

process.umask(0o022);
if (env['PATH'] !== undefined) env['PATH'] = absoluteSearchPath(env['PATH']);
// A build whose log nobody reads any more goes on.
stderr.on('error', () => {});
stdout.on('error', () => {});
try {
  process.exitCode = await runProgram(process.argv.slice(2), commands);
} catch (error) {
  await paced.flushed();
  stderr.write(renderError(error, reportOptions()));
  process.exitCode = exitCodeOf(error);
}
await paced.flushed();
await Promise.all([written(stdout), written(stderr)]);
if (stdout.errored !== null && codeOf(stdout.errored) !== 'EPIPE') {
  stderr.write(`error: cannot write to standard output: ${stdout.errored.message}\n`);
  process.exitCode = 1;
}
// Nothing is left to wait for, and tearing the heap down takes longer than leaving.
process.exit();

/** Waits for a slow reader of a pipe, who would lose what is not written yet. */
async function written(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableLength > 0) await new Promise<void>((resolve) => stream.write('', () => resolve()));
}

async function buildCommand(context: string | undefined, flags: RawBuildFlags): Promise<number> {
  if (context === undefined) {
    throw usageError(
      'CONTEXT',
      'no build context given',
      'give the directory to build from, such as: tsbuild -t app:1 .',
    );
  }
  const options = normaliseBuildOptions(context, flags, env);
  const callMode = flags.check === true || flags.call !== undefined ? await readCallMode(flags) : undefined;
  await becomeRoot();
  if (options.noCache) await warmSandbox(options);
  let say = (text: string): void => void stderr.write(text);
  using interrupt = interruptible('build', (text) => say(text));
  const [{ build }, { openPrinter }] = await Promise.all([import('./build.ts'), import('./progress/open-printer.ts')]);
  const printer = await openPrinter(options.progress, stderr, paced);
  if (options.progress !== 'quiet') say = (text) => printer.say(text);
  if (!printer.showsAll) facts.reportedBytes = MAX_REPORTED_BYTES;
  const warn = (message: string): void => {
    printer.say(`warning: ${message}\n`);
  };
  const store = openOwnStore();
  try {
    const session: Session = {
      store,
      emit: (event) => {
        facts.tail.record(event);
        printer.print(event);
      },
      signal: interrupt.signal,
      stdin: () => process.stdin,
      stdout,
      isRootless: isRootless(),
      cwd: currentDirectory(),
      env,
      now,
      outputRoom: paced.room,
      warn,
      showSource: (file) => facts.sources.push(file),
      showLog: (vertex, path) => facts.logs.set(vertex, path),
    };
    if (callMode !== undefined) {
      const { call } = await import('./call/call.ts');
      const { text, exitCode, error } = await call(options, callMode, session);
      printer.close();
      stdout.write(text);
      if (error !== undefined) throw error;
      return exitCode;
    }
    const { imageID } = await build(options, session);
    printer.close();
    if (!writesToStdout(options.outputs)) stdout.write(`${imageID}\n`);
    return 0;
  } finally {
    printer.close();
    store.close({ isExiting: true });
  }
}

/** Starts what the first step would wait for. */
async function warmSandbox({ ociRuntime }: BuildOptions): Promise<void> {
  if (ociRuntime || !recordsOwners()) return;
  const [{ warmPretence }, { machineArch }] = await Promise.all([
    import('./sandbox/pretence.ts'),
    import('./sandbox/sandbox-host.ts'),
  ]);
  warmPretence(machineArch());
}

function currentDirectory(): string {
  try {
    return process.cwd();
  } catch (cause) {
    const hint = 'change to one that exists';
    throw new TsbuildError('TSB_NO_CURRENT_DIRECTORY', 'the current directory has been removed', { hint, cause });
  }
}

async function readCallMode({ check, call }: RawBuildFlags): Promise<CallMode | undefined> {
  const { parseCallMode } = await import('./call/call-mode.ts');
  return parseCallMode(check === true ? 'check' : (call ?? 'build'));
}

async function imagesCommand(flags: ImagesFlags): Promise<number> {
  const { renderImages } = await import('./cli/images-command.ts');
  const store = openOwnStore();
  try {
    stdout.write(renderImages(store.images.list(), flags, now()));
    return 0;
  } finally {
    store.close({ isExiting: true });
  }
}

async function debugCommand(build: string | undefined, flags: DebugFlags): Promise<number> {
  await becomeRoot();
  const [{ debugFailure }, { openExecutor }] = await Promise.all([
    import('./debug/debug-command.ts'),
    import('./sandbox/open-executor.ts'),
  ]);
  using interrupt = interruptible('debug');
  const store = openOwnStore();
  try {
    return await debugFailure({
      store,
      openExecutor: (security) =>
        openExecutor({
          stateDir: `${store.root}/tmp/sandbox`,
          runtime: env['TSBUILD_OCI_RUNTIME'],
          security,
          warn: (message) => stderr.write(`warning: ${message}\n`),
        }),
      build,
      flags,
      signal: interrupt.signal,
      stdin: () => process.stdin,
      stdout,
      stderr,
      hasTerminal: isatty(0),
      term: env['TERM'],
    });
  } finally {
    store.close({ isExiting: true });
  }
}

async function runCommand(args: readonly [string, ...string[]], flags: RawRunFlags): Promise<number> {
  try {
    await becomeRoot();
    const command = await import('./cli/run-command.ts');
    const store = openOwnStore();
    try {
      return await command.runCommand(args, flags, { store, isRootless: isRootless(), now });
    } finally {
      store.close();
    }
  } catch (error) {
    stderr.write(renderError(error, reportOptions()));
    return RUN_FAILED;
  }
}

/** Goes on where no user namespace can be made: to say so is what it is for. */
async function doctorCommand({ json, store = false }: DoctorFlags): Promise<number> {
  if (env['TSBUILD_USER_NAMESPACE'] !== 'denied') await becomeRoot({ isQuiet: true });
  const [{ examine }, { exitCodeOfChecks, renderChecks, checksJSON }] = await Promise.all([
    import('./doctor/doctor.ts'),
    import('./doctor/check.ts'),
  ]);
  const checks = await examine({
    storeRoot: ownStoreRoot(),
    readsBlobs: store,
    ociRuntime: env['TSBUILD_OCI_RUNTIME'],
    now,
  });
  stdout.write(json === true ? checksJSON(checks) : renderChecks(checks));
  return exitCodeOfChecks(checks);
}

/** Returns only as root, if of a user namespace alone. */
async function becomeRoot({ isQuiet = false } = {}): Promise<void> {
  if (needsUserNamespace()) await enterNamespace();
  const warning = userNamespaceWarning();
  if (warning !== undefined && !isQuiet) stderr.write(`warning: ${warning}\n`);
}

/** True for an ordinary user's command, in the namespace that it has entered. */
function isRootless(): boolean {
  return env['TSBUILD_USER_NAMESPACE'] !== undefined;
}

function openOwnStore(): Store {
  return openStore(ownStoreRoot(), { now });
}

function ownStoreRoot(): string {
  return defaultStoreRoot(env, isRootless() ? 1 : (process.getuid?.() ?? 0));
}

function interruptible(what: string, say: (text: string) => void = (text) => stderr.write(text)): Interrupt {
  return listenForInterrupt((signal) => {
    say(`\n${signal}: stopping the ${what}; finished steps are kept (again to stop at once)\n`);
  });
}

function writesToStdout(outputs: readonly string[]): boolean {
  return outputs.some((text) => text === '-' || /(^|,)dest=-(,|$)/.test(text));
}

function reportOptions(): ReportOptions {
  return {
    excerptOf: ({ range }) => {
      const file = facts.sources.find(({ name }) => name === range?.file);
      return file !== undefined && range !== undefined
        ? renderExcerpt(file, range, { maxLength: EXCERPT_LINE_LENGTH })
        : undefined;
    },
    outputOf: (error: TsbuildError) => {
      const vertex: Digest | undefined =
        error.vertex !== undefined && isDigest(error.vertex) ? error.vertex : undefined;
      if (vertex === undefined) return undefined;
      const path = facts.logs.get(vertex);
      const log = path === undefined ? undefined : openStepLog(path);
      return facts.tail.of(vertex, { maxBytes: facts.reportedBytes, log });
    },
    showStack: env['TSBUILD_DEBUG'] !== undefined,
  };
}
