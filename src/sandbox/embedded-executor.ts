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
import { type OverlayTier, RootTiers } from './root-tiers.ts';
import { exitStatus, runInit } from './run-init.ts';
import type { Pretence } from './pretence.ts';
import { compileRun } from './run-program.ts';
import { readSandboxHost, type SandboxHost } from './sandbox-host.ts';
import type { StandIns } from './stand-in.ts';
import type { Attempt } from './try-overlay.ts';
import type { SeccompProfile } from './seccomp-profile.ts';
import type { StepNamespace } from './step-mapping.ts';

interface EmbeddedExecutorOptions {
  /** A directory of the executor's own: holds a few empty directories, no file. */
  readonly stateDir: string;
  /**
   * Leaves writing a step's changes to disk to the caller: the kernel then neither syncs the file system when a step
   * ends nor on the step's own fsyncs. Only a crash of the machine can tell. Default false.
   */
  readonly isVolatile?: boolean;
  /** Is told, once each, that steps cannot have a network of their own here, or run on something slower than overlays. */
  readonly note?: NetworkNote;
  /** Steps run in a user namespace, whose ids are high ones of this machine. For root only. */
  readonly hasUserNamespace?: boolean;
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
  readonly #tiers: RootTiers;
  readonly #hasUserNamespace: boolean;
  #namespace: Promise<StepNamespace> | undefined;
  #prepared: Prepared | undefined;
  #cgroups: StepCgroups | undefined;

  constructor({ stateDir, isVolatile, note, hasUserNamespace }: EmbeddedExecutorOptions) {
    this.#stateDir = stateDir;
    this.#isVolatile = isVolatile === true;
    this.#hasUserNamespace = hasUserNamespace === true;
    this.#networks = new StepNetworks(note);
    this.#tiers = new RootTiers(stateDir, note);
  }

  /** How steps get their root filesystems; undefined before the first run. */
  get overlayTier(): OverlayTier | undefined {
    return this.#tiers.tier;
  }

  async run(spec: RunSpec, io: RunIO): Promise<ExitStatus> {
    io.signal.throwIfAborted();
    const prepared = this.#prepare();
    const { host, init } = prepared;
    const namespace = this.#hasUserNamespace ? await this.#openNamespace(init) : undefined;
    using lent = await this.#networks.lend(spec, init, io.signal, namespace);
    const planned = planRun(spec, io, { host, network: lent.network, namespace });
    const cgroup = spec.limits === undefined ? undefined : await this.#makeCgroup(spec.limits, init);
    const limited = cgroup === undefined ? planned : { ...planned, cgroups: cgroup.dirs };
    const plan = host.isSingleID ? { ...limited, isPretending: true } : limited;
    const filter = filterFor(spec, prepared);
    const attempt = async (standIns: StandIns | undefined): Promise<Attempt> => {
      const program = compileRun(plan, standIns === undefined ? host : { ...host, standIns }, filter);
      const pretence = host.isSingleID ? await pretend(host) : undefined;
      const outcome = await runInit(init, program, io, pretence?.socketFd).finally(() => pretence?.end());
      return { program, outcome };
    };
    clearVolatileMarks(spec);
    try {
      const { outcome, program } = await this.#tiers.run({ spec, io, host, init, attempt });
      const memoryKill = cgroup?.memoryKill();
      // Short of memory, the kernel may also have chosen the keeper, and all of the step went with it.
      const isKeeperKilled = memoryKill !== undefined && outcome.kind === 'killed';
      const status = isKeeperKilled ? { code: 137, signal: 'SIGKILL' } : exitStatus(outcome, program, spec);
      return memoryKill === undefined ? status : { ...status, memoryKill };
    } finally {
      await cgroup?.remove();
      if (spec.rootfs.upperDir !== undefined) removeStubs(spec.rootfs.upperDir, plan.stubs);
      if (host.isVolatile) clearVolatileMarks(spec);
    }
  }

  async close(): Promise<void> {
    this.#networks.close();
    (await this.#namespace?.catch(() => undefined))?.close();
    this.#namespace = undefined;
    if (this.#prepared !== undefined) (await import('./cgroup-limits.ts')).sweepCgroups();
    this.#prepared?.init.close();
    this.#prepared = undefined;
  }

  /** One for all steps, also for those that start while it is made. */
  #openNamespace(init: InitExecutable): Promise<StepNamespace> {
    this.#namespace ??= import('./step-namespace.ts').then(({ openStepNamespace }) => openStepNamespace(init));
    return this.#namespace;
  }

  async #makeCgroup(limits: ResourceLimits, init: InitExecutable): Promise<StepCgroup> {
    const [{ StepCgroups }, { startCgroupGuard }] = await Promise.all([
      import('./cgroup-limits.ts'),
      import('./cgroup-guard.ts'),
    ]);
    this.#cgroups ??= new StepCgroups();
    return this.#cgroups.make(limits, (dirs) => startCgroupGuard(init, dirs));
  }

  #prepare(): Prepared {
    if (this.#prepared === undefined) {
      const host = readSandboxHost(this.#stateDir, this.#isVolatile);
      this.#prepared = { host, filters: new Map(), init: new InitExecutable(host.arch) };
    }
    return this.#prepared;
  }
}

async function pretend({ arch }: SandboxHost): Promise<Pretence> {
  const { startPretence } = await import('./pretence.ts');
  return startPretence(arch);
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
