// The executor that leaves the sandbox to an OCI runtime: runc, crun, runsc, or any other with runc's command line.
import { closeSync, readFileSync } from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import { makeMemoryFile } from '../sys/libc.ts';
import { startCgroupGuard } from './cgroup-guard.ts';
import { cgroupPrefix, checkLimits, removeGuarded, sweepCgroups } from './cgroup-limits.ts';
import { readCgroupHost } from './cgroup-host.ts';
import { clearVolatileMarks } from './embedded-executor.ts';
import type { ExecFailure, Executor, ExitStatus, RunIO, RunSpec } from './executor.ts';
import { InitExecutable } from './init-process.ts';
import { removeStubs } from './mount-stubs.ts';
import { type NetworkNote, StepNetworks } from './network-pool.ts';
import { RootTiers } from './root-tiers.ts';
import { exitStatus, runInit } from './run-init.ts';
import { planRun, type RunPlan } from './run-plan.ts';
import { checkRuntime, findRuntime } from './runtime-check.ts';
import {
  findRuntimePlace,
  openRuntimeCgroup,
  type RuntimePlace,
  runtimeCgroupDirs,
  sweepRuntimeCgroups,
} from './runtime-cgroup.ts';
import { compileRuntimeRun } from './runtime-program.ts';
import { formatError, RuntimeStderr } from './runtime-stderr.ts';
import { readSandboxHost, type SandboxHost } from './sandbox-host.ts';
import type { StandIns } from './stand-in.ts';
import type { Attempt } from './try-overlay.ts';
import { execFormatHint } from './setup-error.ts';

interface OCIRuntimeExecutorOptions {
  /** A directory of the executor's own: holds a few empty directories, no file. */
  readonly stateDir: string;
  /** A name on PATH, or a path. */
  readonly runtime: string;
  /** As for the embedded executor. */
  readonly isVolatile?: boolean;
  readonly note?: NetworkNote;
}

interface Prepared {
  readonly host: SandboxHost;
  readonly init: InitExecutable;
  readonly runtime: string;
  readonly place: RuntimePlace;
  /** Rejects when the program is something else. */
  readonly checked: Promise<void>;
}

/** Prepares itself on the first run. Throws TSB_SANDBOX_RUNTIME_NOT_FOUND and TSB_SANDBOX_RUNTIME_UNKNOWN then. */
export class OCIRuntimeExecutor implements Executor {
  readonly #options: OCIRuntimeExecutorOptions;
  readonly #networks: StepNetworks;
  readonly #tiers: RootTiers;
  #prepared: Prepared | undefined;
  readonly #prefix = cgroupPrefix();
  #count = 0;

  constructor(options: OCIRuntimeExecutorOptions) {
    this.#options = options;
    this.#networks = new StepNetworks(options.note);
    this.#tiers = new RootTiers(options.stateDir, options.note);
  }

  /** See the port; moreover throws TSB_SANDBOX_RUNTIME_NOT_FOUND, TSB_SANDBOX_RUNTIME_UNKNOWN and TSB_SANDBOX_RUNTIME_FAILED. */
  async run(spec: RunSpec, io: RunIO): Promise<ExitStatus> {
    io.signal.throwIfAborted();
    const { host, init, runtime, place, checked } = this.#prepare();
    await checked;
    using lent = await this.#networks.lend(spec, init, io.signal);
    const plan = planRun(spec, io, { host, network: lent.network });
    refuseDevices(plan);
    if (spec.limits !== undefined) checkLimits(spec.limits, readCgroupHost());
    const id = `${this.#prefix}${this.#count++}`;
    // As root the runtime always makes cgroups; when it is killed they stay. A user namespace leaves the place to it.
    const cgroups = host.isUserNamespace ? [] : runtimeCgroupDirs(id);
    const guard = cgroups.length === 0 ? undefined : startCgroupGuard(init, cgroups);
    const cgroup = host.isUserNamespace ? undefined : openRuntimeCgroup(id, place, spec.limits);
    const cgroupsPath = `${place.prefix}${cgroup === undefined ? id : `${id}/${id}`}`;
    const logFd = makeMemoryFile('tsbuild-runtime-log');
    const logPath = `/proc/${process.pid}/fd/${logFd}`;
    const command = spec.process.args[0] ?? '';
    const stderr = new RuntimeStderr(io.stderr, command);
    const attempt = async (standIns: StandIns | undefined): Promise<Attempt> => {
      const runHost = standIns === undefined ? host : { ...host, standIns };
      const program = compileRuntimeRun({ plan, host: runHost, runtime, id, cgroupsPath, logPath });
      return { program, outcome: await runInit(init, program, { ...io, stderr }) };
    };
    clearVolatileMarks(spec);
    try {
      const { outcome, program } = await this.#tiers.run({ spec, io, host, init, attempt });
      const status = exitStatus(outcome, program, { ...spec, process: { ...spec.process, args: [runtime] } });
      const { held } = stderr;
      const said = held === formatError(command) ? held : undefined;
      const problem = status.code === 0 ? undefined : (lastError(readFileSync(logPath, 'utf8')) ?? said);
      if (problem === undefined || problem !== held) stderr.release();
      const memoryKill = cgroup?.memoryKill();
      const ended = problem === undefined ? status : this.#explain(problem, spec);
      return memoryKill === undefined ? ended : { ...ended, memoryKill };
    } finally {
      cgroup?.close();
      await removeGuarded(cgroups, guard);
      closeSync(logFd);
      if (spec.rootfs.upperDir !== undefined) removeStubs(spec.rootfs.upperDir, plan.stubs);
      if (host.isVolatile) clearVolatileMarks(spec);
    }
  }

  async close(): Promise<void> {
    this.#networks.close();
    this.#prepared?.init.close();
    this.#prepared = undefined;
  }

  #prepare(): Prepared {
    if (this.#prepared === undefined) {
      const { stateDir, isVolatile } = this.#options;
      const runtime = findRuntime(this.#options.runtime);
      const host = readSandboxHost(stateDir, isVolatile === true);
      if (!host.isUserNamespace) sweepRuntimeCgroups();
      sweepCgroups();
      const checked = checkRuntime(runtime, this.#options.runtime, host.emptyDirs[0]);
      const place = findRuntimePlace(runtime);
      this.#prepared = { host, init: new InitExecutable(host.arch), runtime, place, checked };
    }
    return this.#prepared;
  }

  #explain(problem: string, spec: RunSpec): ExitStatus {
    const execFailure = readExecFailure(problem, spec.process.args[0] ?? '');
    if (execFailure !== undefined)
      return { code: execFailure.kind === 'not-found' ? 127 : 126, signal: undefined, execFailure };
    throw new TsbuildError(
      'TSB_SANDBOX_RUNTIME_FAILED',
      `the OCI runtime ${this.#options.runtime} failed: ${problem}`,
      {
        hint: 'leave out --oci-runtime (and TSBUILD_OCI_RUNTIME) to use the built-in sandbox',
      },
    );
  }
}

/** Runtimes hide files with the /dev/null they find, which a mount over /dev could make any file of the host (CVE-2025-31133). */
function refuseDevices({ dev, mounts }: RunPlan): void {
  const over = mounts.find(
    ({ target: { path } }) => path === dev || path === `${dev}/null` || dev.startsWith(`${path}/`),
  );
  if (over === undefined) return;
  throw new TsbuildError('TSB_SANDBOX_MOUNT_TARGET', `invalid mount target "${over.mount.dest}"`, {
    hint: 'an OCI runtime needs a /dev of its own: leave out --oci-runtime (and TSBUILD_OCI_RUNTIME)',
  });
}

/** The last error in a log of JSON lines; lines of another form are errors too. */
function lastError(log: string): string | undefined {
  return log
    .trim()
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [readLine(line)]))
    .findLast((message) => message !== undefined);
}

function readLine(line: string): string | undefined {
  try {
    const { level, msg } = JSON.parse(line) as { readonly level?: unknown; readonly msg?: unknown };
    return level === 'error' || level === 'fatal' ? String(msg) : undefined;
  } catch {
    return line;
  }
}

const EXEC_FAILURES: readonly {
  readonly pattern: RegExp;
  readonly kind: ExecFailure['kind'];
  readonly text: string;
}[] = [
  { pattern: /executable file .*not found in \$PATH/, kind: 'not-found', text: 'executable file not found in $PATH' },
  { pattern: /exec format error/i, kind: 'bad-format', text: 'exec format error' },
  { pattern: /exec.*: no such file or directory$/i, kind: 'not-found', text: 'no such file or directory' },
  { pattern: /exec.*: not a directory$/i, kind: 'not-found', text: 'not a directory' },
  { pattern: /exec.*: permission denied$/i, kind: 'permission-denied', text: 'permission denied' },
];

/** The command's own failure to start, in the words of the embedded executor. */
function readExecFailure(problem: string, command: string): ExecFailure | undefined {
  const found = EXEC_FAILURES.find(({ pattern }) => pattern.test(problem));
  if (found === undefined) return undefined;
  const message = `exec: "${command}": ${found.text}`;
  return { kind: found.kind, message, ...(found.kind === 'bad-format' && { hint: execFormatHint }) };
}
