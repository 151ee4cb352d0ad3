// Everything about one run that is decided before it starts, so that the program for the init can be written down.
import { readlinkSync, statSync } from 'node:fs';
import { isatty } from 'node:tty';
import { TsbuildError } from '../../solver/errors.ts';
import type { OverlayMount, RunIO, RunSpec, SandboxMount } from './executor.ts';
import { type MountPlan, type MountRequest, type MountTarget, planMounts } from './mount-stubs.ts';
import { hostResolvConf, hostsFile, resolvConf } from './network-files.ts';
import type { StepNetwork } from './network-pool.ts';
import type { SandboxHost } from './sandbox-host.ts';
import type { StepNamespace } from './step-mapping.ts';
import { StackLookup } from './stack-lookup.ts';
import { type ResolvedUser, resolveUser } from './user.ts';

/** A mount of the spec with the place it goes to. */
interface PlannedMount {
  readonly mount: SandboxMount;
  readonly target: MountTarget;
}

/** Nothing of it changes the machine: a run that is planned need not take place. */
export interface RunPlan {
  readonly spec: RunSpec;
  /** What `spec.network` comes to on this machine. */
  readonly network: StepNetwork;
  /** Where the command runs; undefined: in this process's own. */
  readonly namespace: StepNamespace | undefined;
  /** Device nodes of the root file system and of mounts open. */
  readonly hasDevices: boolean;
  /** The process has this process's own terminal. */
  readonly isTerminal: boolean;
  /** The process's standard streams are a terminal that becomes its session's. */
  readonly ownsTerminal: boolean;
  /** The terminal is yet to be made. */
  readonly newTerminal: RunIO['newTerminal'];
  /** Path of the process's terminal. */
  readonly console: string | undefined;
  readonly user: ResolvedUser;
  readonly env: readonly string[];
  readonly stubs: MountPlan['stubs'];
  readonly parents: MountPlan['parents'];
  /** Resolved places of the kernel's file systems and network files. */
  readonly proc: string;
  readonly sys: string;
  readonly dev: string;
  readonly hosts: { readonly path: string; readonly text: string };
  readonly resolvConf: { readonly path: string; readonly text: string };
  readonly mounts: readonly PlannedMount[];
  /** User ids are pretended, and the socket for it is there. */
  readonly isPretending: boolean;
  /** The step's own cgroups by the directories they are in; none without limits. */
  readonly cgroups: ReadonlyMap<string, string>;
}

/** Decides a run. Throws TSB_SANDBOX_USER_NOT_FOUND, TSB_SANDBOX_MOUNT_SOURCE_NOT_FOUND and TSB_SANDBOX_MOUNT_TARGET. */
export function planRun(
  spec: RunSpec,
  { terminal, terminalFd, newTerminal }: Pick<RunIO, 'terminal' | 'terminalFd' | 'newTerminal'>,
  {
    host,
    network,
    namespace,
  }: { readonly host: SandboxHost; readonly network: StepNetwork; readonly namespace?: StepNamespace | undefined },
): RunPlan {
  const stack = new StackLookup(overlayDirs(spec.rootfs), host.isUserNamespace);
  const user = resolveUser(spec.process.user, (path) => stack.readText(path));
  const requests: MountRequest[] = [
    { dest: '/proc', type: 'dir', keep: true },
    { dest: '/dev', type: 'dir', keep: true },
    { dest: '/sys', type: 'dir', keep: true },
    { dest: '/etc/resolv.conf', type: 'file' },
    { dest: '/etc/hosts', type: 'file' },
    ...spec.mounts.map((mount) => ({ dest: mount.dest, type: mountType(mount, host) })),
  ];
  const { targets, stubs, parents } = planMounts(stack, requests);
  const [proc, dev, sys, resolv, hosts, ...rest] = targets.map((target) => target.path);
  if (proc === undefined || dev === undefined || sys === undefined || resolv === undefined || hosts === undefined) {
    throw new Error('internal error: a mount without a target');
  }
  const mounts = spec.mounts.map((mount, index) =>
    plannedMount(mount, targets[targets.length - rest.length + index], { proc, stack }),
  );
  const hasHome = spec.process.env.some((entry) => entry.startsWith('HOME='));
  return {
    spec,
    network,
    namespace,
    hasDevices: spec.isInsecure && namespace === undefined,
    isTerminal: terminalFd === undefined && newTerminal === undefined && terminal === true,
    ownsTerminal: terminalFd !== undefined || newTerminal !== undefined,
    newTerminal,
    console: newTerminal || (terminalFd === undefined && terminal !== true) ? undefined : terminalPath(terminalFd ?? 0),
    user,
    env: hasHome ? spec.process.env : [...spec.process.env, `HOME=${user.home}`],
    stubs,
    parents,
    proc,
    sys,
    dev,
    hosts: { path: hosts, text: hostsFile(spec.hostname, spec.extraHosts) },
    resolvConf: { path: resolv, text: resolvConf(hostResolvConf(), network) },
    mounts,
    isPretending: false,
    cgroups: new Map(),
  };
}

/** The directories of an overlay, newest first. */
function overlayDirs(overlay: OverlayMount): readonly string[] {
  return overlay.upperDir === undefined ? overlay.lowerDirs : [overlay.upperDir, ...overlay.lowerDirs];
}

function plannedMount(
  mount: SandboxMount,
  target: MountTarget | undefined,
  { proc, stack }: { readonly proc: string; readonly stack: StackLookup },
): PlannedMount {
  if (target === undefined) throw new Error('internal error: a mount without a target');
  if (covers(target.path, proc) || target.boundary === proc) {
    throw new TsbuildError('TSB_SANDBOX_MOUNT_TARGET', `invalid mount target "${mount.dest}"`);
  }
  if (mount.kind !== 'tmpfs' || mount.mode !== undefined || target.boundary !== undefined) return { mount, target };
  // As runtimes do it: the mode of the directory that is covered.
  const covered = stack.entry(target.path)?.stat;
  return { mount: covered === undefined ? mount : { ...mount, mode: covered.mode & 0o7777 }, target };
}

/** True when nothing at `path` can be reached once the target is mounted over. */
function covers(target: string, path: string): boolean {
  return target === '/' || target === path || path.startsWith(`${target}/`);
}

function mountType(mount: SandboxMount, host: SandboxHost): 'dir' | 'file' {
  switch (mount.kind) {
    case 'tmpfs':
      return 'dir';
    case 'secret':
      return 'file';
    case 'bind': {
      const stat = statSync(mount.source, { throwIfNoEntry: false });
      if (stat === undefined) throw sourceNotFound(mount.source, mount.dest);
      return stat.isDirectory() ? 'dir' : 'file';
    }
    case 'overlay': {
      if (/^\/*$/.test(mount.selector)) return 'dir';
      const entry = new StackLookup(overlayDirs(mount.overlay), host.isUserNamespace).find(mount.selector);
      if (entry === undefined) throw sourceNotFound(mount.selector, mount.dest);
      return entry.stat.isDirectory() ? 'dir' : 'file';
    }
  }
}

function sourceNotFound(source: string, dest: string): TsbuildError {
  return new TsbuildError('TSB_SANDBOX_MOUNT_SOURCE_NOT_FOUND', `"${source}", to be mounted on ${dest}: not found`);
}

/** Absent when the descriptor is no terminal, or one whose node cannot be seen from here, as in some containers. */
function terminalPath(fd: number): string | undefined {
  if (!isatty(fd)) return undefined;
  const path = readlinkSync(`/proc/self/fd/${fd}`);
  return statSync(path, { throwIfNoEntry: false })?.isCharacterDevice() === true ? path : undefined;
}
