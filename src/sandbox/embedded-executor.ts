// The executor that needs nothing installed: namespaces, overlayfs and the rest through tsbuild-init.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ResourceLimits, StepCgroup, StepCgroups } from './cgroup-limits.ts';
import type { Executor, ExitStatus, OverlayMount, RunIO, RunSpec } from './executor.ts';
import { defaultFilter } from './identity-steps.ts';
import { InitExecutable } from './init-process.ts';
import { removeStubs } from './mount-stubs.ts';
import { planRun } from './run-plan.ts';
import { exitStatus, runInit } from './run-init.ts';
import type { Pretence, PretenceThreads } from './pretence.ts';
import { compileRun } from './run-program.ts';
import { readSandboxHost, type SandboxHost } from './sandbox-host.ts';

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
  #cgroups: StepCgroups | undefined;
  #threads: PretenceThreads | undefined;

  constructor({ stateDir, isVolatile }: EmbeddedExecutorOptions) {
    this.#stateDir = stateDir;
    this.#isVolatile = isVolatile === true;
  }

  async run(spec: RunSpec, io: RunIO): Promise<ExitStatus> {
    io.signal.throwIfAborted();
    const { host, filter, init } = this.#prepare();
    const planned = planRun(spec, io, host);
    const cgroup = spec.limits === undefined ? undefined : await this.#makeCgroup(spec.limits);
    const limited = cgroup === undefined ? planned : { ...planned, cgroups: cgroup.dirs };
    const pretence = host.isSingleID ? await this.#startPretence(host) : undefined;
    const plan = pretence === undefined ? limited : { ...limited, isPretending: true };
    const program = compileRun(plan, host, filter);
    clearVolatileMarks(spec);
    try {
      const outcome = await runInit(init, program, io, pretence?.socketFd).finally(() => pretence?.end());
      const status = exitStatus(outcome, program, spec);
      const memoryKill = cgroup?.memoryKill();
      return memoryKill === undefined ? status : { ...status, memoryKill };
    } finally {
      cgroup?.remove();
      if (spec.rootfs.upperDir !== undefined) removeStubs(spec.rootfs.upperDir, plan.stubs);
      if (host.isVolatile) clearVolatileMarks(spec);
    }
  }

  async close(): Promise<void> {
    this.#prepared?.init.close();
    this.#prepared = undefined;
    await this.#threads?.close();
  }

  async #makeCgroup(limits: ResourceLimits): Promise<StepCgroup> {
    const { StepCgroups } = await import('./cgroup-limits.ts');
    this.#cgroups ??= new StepCgroups();
    return this.#cgroups.make(limits);
  }

  async #startPretence({ arch }: SandboxHost): Promise<Pretence> {
    const { PretenceThreads } = await import('./pretence.ts');
    this.#threads ??= new PretenceThreads(arch);
    return this.#threads.start();
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
export function clearVolatileMarks(spec: RunSpec): void {
  const overlays: OverlayMount[] = [spec.rootfs];
  for (const mount of spec.mounts) if (mount.kind === 'overlay') overlays.push(mount.overlay);
  for (const { workDir } of overlays) {
    if (workDir !== undefined) rmSync(join(workDir, 'work/incompat'), { recursive: true, force: true });
  }
}
