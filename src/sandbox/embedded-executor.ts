// The executor that needs nothing installed: namespaces, overlayfs and the rest through tsbuild-init.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ResourceLimits, StepCgroup, StepCgroups } from './cgroup-limits.ts';
import type { Executor, ExitStatus, OverlayMount, RunIO, RunSpec } from './executor.ts';
import { filterOf } from './identity-steps.ts';
import { InitExecutable } from './init-process.ts';
import { removeStubs } from './mount-stubs.ts';
import { type NetworkNote, StepNetworks } from './network-pool.ts';
import { planRun } from './run-plan.ts';
import { exitStatus, runInit } from './run-init.ts';
import type { Pretence, PretenceThreads } from './pretence.ts';
import { compileRun } from './run-program.ts';
import { readSandboxHost, type SandboxHost } from './sandbox-host.ts';
import type { SeccompProfile } from './seccomp-profile.ts';

export interface EmbeddedExecutorOptions {
  /** A directory of the executor's own: holds a few empty directories, no file. */
  readonly stateDir: string;
  /**
   * Leaves writing a step's changes to disk to the caller: the kernel then neither syncs the file system when a step
   * ends nor on the step's own fsyncs. Only a crash of the machine can tell. Default false.
   */
  readonly isVolatile?: boolean;
  /** Is told, once, that steps cannot have a network of their own here. */
  readonly note?: NetworkNote;
}

interface Prepared {
  readonly host: SandboxHost;
  /** Of each profile seen; Docker's under undefined. */
  readonly filters: Map<SeccompProfile | undefined, Buffer>;
  readonly init: InitExecutable;
}

/** Prepares itself on the first run. */
export class EmbeddedExecutor implements Executor {
  readonly #stateDir: string;
  readonly #isVolatile: boolean;
  readonly #networks: StepNetworks;
  #prepared: Prepared | undefined;
  #cgroups: StepCgroups | undefined;
  #threads: PretenceThreads | undefined;

  constructor({ stateDir, isVolatile, note }: EmbeddedExecutorOptions) {
    this.#stateDir = stateDir;
    this.#isVolatile = isVolatile === true;
    this.#networks = new StepNetworks(note);
  }

  async run(spec: RunSpec, io: RunIO): Promise<ExitStatus> {
    io.signal.throwIfAborted();
    const prepared = this.#prepare();
    const { host, init } = prepared;
    using lent = await this.#networks.lend(spec, init, io.signal);
    const planned = planRun(spec, io, { host, network: lent.network });
    const cgroup = spec.limits === undefined ? undefined : await this.#makeCgroup(spec.limits);
    const limited = cgroup === undefined ? planned : { ...planned, cgroups: cgroup.dirs };
    const pretence = host.isSingleID ? await this.#startPretence(host) : undefined;
    const plan = pretence === undefined ? limited : { ...limited, isPretending: true };
    const program = compileRun(plan, host, filterFor(spec, prepared));
    clearVolatileMarks(spec);
    try {
      const outcome = await runInit(init, program, io, pretence?.socketFd).finally(() => pretence?.end());
      const status = exitStatus(outcome, program, spec);
      const memoryKill = cgroup?.memoryKill();
      return memoryKill === undefined ? status : { ...status, memoryKill };
    } finally {
      await cgroup?.remove();
      if (spec.rootfs.upperDir !== undefined) removeStubs(spec.rootfs.upperDir, plan.stubs);
      if (host.isVolatile) clearVolatileMarks(spec);
    }
  }

  async close(): Promise<void> {
    this.#networks.close();
    if (this.#prepared !== undefined) (await import('./cgroup-limits.ts')).sweepCgroups();
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
      this.#prepared = { host, filters: new Map(), init: new InitExecutable(host.arch) };
    }
    return this.#prepared;
  }
}

/** Undefined when the run has none. */
function filterFor({ seccomp }: RunSpec, { host, filters }: Prepared): Buffer | undefined {
  if (seccomp === 'unconfined') return undefined;
  const filter = filters.get(seccomp) ?? filterOf(host, seccomp);
  filters.set(seccomp, filter);
  return filter;
}

/** Overlayfs refuses a work directory that a volatile mount has used, lest someone believe it is on disk. */
export function clearVolatileMarks(spec: RunSpec): void {
  const overlays: OverlayMount[] = [spec.rootfs];
  for (const mount of spec.mounts) if (mount.kind === 'overlay') overlays.push(mount.overlay);
  for (const { workDir } of overlays) {
    if (workDir !== undefined) rmSync(join(workDir, 'work/incompat'), { recursive: true, force: true });
  }
}
