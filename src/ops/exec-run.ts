// Runs an exec op (RUN): prepares its snapshots and mounts, has the executor run the process, and commits what it wrote.
// The state of a step that fails is kept, so that it can be entered afterwards.
import { statfsSync } from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import type { ExecOp } from '../../solver/op.ts';
import type { Result, RunContext } from '../../solver/op-runner.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { Executor, ExitStatus, RunSpec, SandboxMount } from '../sandbox/executor.ts';
import { StackLookup } from '../sandbox/stack-lookup.ts';
import type { ActiveSnapshot } from '../snapshot/snapshotter.ts';
import { type ExecMountPorts, ExecMounts, overlayOf, secretVariables } from './exec-mounts.ts';
import { memoryKillText } from '../sandbox/memory-kill.ts';
import { foreignProgramHint } from './foreign-program.ts';
import { StepOutput } from './step-output.ts';

/** A step that ended with another status than 0, and all that is needed to go on from there. */
export interface FailedStep {
  readonly vertex: Vertex;
  /** Kept beyond this process. */
  readonly active: ActiveSnapshot;
  /** As it was run, without secrets and without what was mounted to be thrown away. */
  readonly runSpec: RunSpec;
  readonly logPath: string;
  readonly exit: ExitStatus;
}

/** What running a step takes from the build; shared by all steps. */
export interface ExecPorts extends ExecMountPorts {
  readonly executor: Pick<Executor, 'run'>;
  /** True in a user namespace: overlays mark opaque directories in another way. */
  readonly isRootless: boolean;
  /** Runs the work once there is a place for one more process. */
  readonly inSlot: <T>(work: () => Promise<T>, signal: AbortSignal) => Promise<T>;
  /** File for the step's full output. */
  readonly logPathOf: (vertex: Vertex) => string;
  readonly onFailure: (failure: FailedStep) => void;
  /** Undefined, or resolves when who watches the steps' output can take more. */
  readonly outputRoom: () => Promise<void> | undefined;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
}

const HOSTNAME = 'buildkitsandbox';

/** One committed result for each output. Throws TSB_RUN_FAILED when the process does not end with status 0. */
export async function runExecOp(
  ports: ExecPorts,
  { vertex, op, inputs, context }: { vertex: Vertex; op: ExecOp; inputs: readonly Result[]; context: RunContext },
): Promise<readonly Result[]> {
  const { signal, ignoreCache } = context;
  const [root, ...others] = op.mounts;
  if (root === undefined) throw new Error('internal error: an exec op without a root mount');
  const active = ports.snapshotter.prepare(root.input < 0 ? undefined : inputs[root.input]?.id);
  const mounts = new ExecMounts(ports, { inputs, ignoreCache, signal });
  const run = new ExecRun(ports, vertex, op, active, mounts);
  try {
    await mounts.add(others);
    await run.execute(context);
    return run.commit(root.output);
  } finally {
    run.discardUnlessSettled();
    mounts.release();
  }
}

class ExecRun {
  readonly #ports: ExecPorts;
  readonly #vertex: Vertex;
  readonly #op: ExecOp;
  readonly #active: ActiveSnapshot;
  readonly #mounts: ExecMounts;
  #isSettled = false;

  constructor(ports: ExecPorts, vertex: Vertex, op: ExecOp, active: ActiveSnapshot, mounts: ExecMounts) {
    this.#ports = ports;
    this.#vertex = vertex;
    this.#op = op;
    this.#active = active;
    this.#mounts = mounts;
  }

  async execute({ signal, emit }: RunContext): Promise<void> {
    const { executor, inSlot, logPathOf, now, outputRoom: room } = this.#ports;
    const secrets = await secretVariables(this.#op.secretEnv, this.#ports.secrets);
    const spec = this.#spec(secrets);
    const logPath = logPathOf(this.#vertex);
    const exit = await inSlot(async () => {
      const output = new StepOutput({ vertex: this.#vertex.digest, logPath, emit, now, room });
      try {
        return await executor.run(spec, { stdout: output.stdout, stderr: output.stderr, signal });
      } finally {
        output.close();
      }
    }, signal);
    if (exit.code !== 0) this.#fail(exit, logPath);
    if (exit.memoryKill === undefined) return;
    // The command went on without that process: what it made may lack something.
    emit({ type: 'warning', vertex: this.#vertex.digest, timeMs: now(), message: memoryKillText(exit.memoryKill) });
  }

  commit(rootOutput: number): readonly Result[] {
    const { snapshotter } = this.#ports;
    const results: Result[] = [];
    for (const [output, active] of this.#mounts.outputs) results[output] = { id: snapshotter.commit(active) };
    if (rootOutput >= 0) {
      results[rootOutput] = { id: snapshotter.commit(this.#active) };
      this.#isSettled = true;
    }
    return results;
  }

  discardUnlessSettled(): void {
    if (this.#isSettled) return;
    const { snapshotter } = this.#ports;
    snapshotter.discard(this.#active);
    // A committed one stays.
    for (const active of this.#mounts.outputs.values()) snapshotter.discard(active);
  }

  #spec(secretEnv: readonly string[]): RunSpec {
    const { meta, network, security } = this.#op;
    const proxies = Object.entries(meta.proxyEnv ?? {}).map(([name, value]) => `${name}=${value}`);
    return {
      rootfs: overlayOf(this.#active),
      mounts: this.#mounts.mounts,
      process: {
        args: meta.args,
        env: [...meta.env, ...proxies, ...secretEnv],
        cwd: meta.cwd,
        ...(meta.user !== undefined && { user: meta.user }),
      },
      network,
      hostname: meta.hostname ?? HOSTNAME,
      extraHosts: meta.extraHosts ?? [],
      isInsecure: security === 'insecure',
      ...(meta.ulimits && { ulimits: meta.ulimits }),
    };
  }

  #fail(exit: ExitStatus, logPath: string): never {
    const isFull = isDiskFull(this.#active.upperDir);
    if (!isFull) this.#keepState(exit, logPath);
    const command = this.#op.meta.args.join(' ');
    throw new TsbuildError(
      'TSB_RUN_FAILED',
      `process "${command}" did not complete successfully: exit code: ${exit.code}`,
      { hint: isFull ? FULL_HINT : this.#hintFor(exit) },
    );
  }

  #hintFor(exit: ExitStatus): string {
    if (exit.execFailure?.kind !== 'bad-format') return hintFor(exit);
    const { args, env, cwd } = this.#op.meta;
    const { upperDir, lowerDirs } = this.#active;
    const stack = new StackLookup([upperDir, ...lowerDirs], this.#ports.isRootless);
    return foreignProgramHint(stack, { args, env, cwd }) ?? hintFor(exit);
  }

  #keepState(exit: ExitStatus, logPath: string): void {
    const { snapshotter, onFailure } = this.#ports;
    snapshotter.keep(this.#active);
    this.#isSettled = true;
    for (const active of this.#mounts.outputs.values()) snapshotter.discard(active);
    onFailure({ vertex: this.#vertex, active: this.#active, runSpec: withoutSecrets(this.#spec([])), logPath, exit });
  }
}

/** Less than this is what the store's own records need. */
const LEAST_FREE_BYTES = 1 << 20;
const FULL_HINT =
  'the disk of the store is full, so the failed state was not kept: free some space there, or name a directory on another disk with TSBUILD_ROOT';

/** True when there is no space left where the step wrote: its state would keep the disk full. */
function isDiskFull(directory: string): boolean {
  const { bavail, bsize, blocks } = statfsSync(directory);
  // Some file systems do not count blocks.
  return blocks > 0 && bavail * bsize < LEAST_FREE_BYTES;
}

function hintFor({ execFailure, memoryKill }: ExitStatus): string {
  if (memoryKill !== undefined) return memoryKillText(memoryKill);
  if (execFailure === undefined) return 'enter the failed state with: tsbuild debug';
  const { message, hint } = execFailure;
  return hint === undefined ? message : `${message}; ${hint}`;
}

/** What can be mounted again later: no secret, no agent, and only the lower directories of what was thrown away. */
function withoutSecrets(spec: RunSpec): RunSpec {
  const mounts = spec.mounts
    .filter((mount) => mount.kind !== 'secret' && !(mount.kind === 'bind' && mount.isPassing === true))
    .map((mount): SandboxMount => {
      if (mount.kind !== 'overlay') return mount;
      const { lowerDirs } = mount.overlay;
      if (lowerDirs.length === 0) return { kind: 'tmpfs', dest: mount.dest };
      return { ...mount, readonly: true, overlay: { lowerDirs } };
    });
  return { ...spec, mounts };
}
