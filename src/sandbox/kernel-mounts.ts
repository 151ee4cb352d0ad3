// /dev, /sys, /sys/fs/cgroup and /proc of a sandbox, as Docker makes them.
import { DEFAULT_SHM_BYTES } from './executor.ts';
import type { CallResult, InitProgram } from './init-program.ts';
import { openTree, type ScratchNames } from './rootfs-steps.ts';
import type { RunPlan } from './run-plan.ts';
import type { SandboxHost } from './sandbox-host.ts';
import { makeTerminal } from './terminal-steps.ts';
import { AT, FILE_TYPE, MOUNT_ATTR, MOVE_MOUNT, MS } from './syscalls.ts';

const HARDENED = MS.nosuid | MS.nodev | MS.noexec;
const TTY_GROUP = 5;

const DEVICES: readonly { readonly name: string; readonly major: number; readonly minor: number }[] = [
  { name: 'null', major: 1, minor: 3 },
  { name: 'zero', major: 1, minor: 5 },
  { name: 'full', major: 1, minor: 7 },
  { name: 'random', major: 1, minor: 8 },
  { name: 'urandom', major: 1, minor: 9 },
  { name: 'tty', major: 5, minor: 0 },
];

const DEVICE_LINKS: readonly (readonly [target: string, name: string])[] = [
  ['/proc/self/fd', 'fd'],
  ['/proc/self/fd/0', 'stdin'],
  ['/proc/self/fd/1', 'stdout'],
  ['/proc/self/fd/2', 'stderr'],
  ['pts/ptmx', 'ptmx'],
];

/** Detached mounts of what must come from the host. */
interface HostTrees {
  /** The sandbox's devices; none where nodes of them are made in /dev itself. */
  readonly devices: ReadonlyMap<string, CallResult>;
  /** A null device for each file of the kernel's that is hidden. */
  readonly covers: ReadonlyMap<string, CallResult>;
  readonly sys: CallResult | undefined;
  readonly cgroups: ReadonlyMap<string, CallResult>;
  readonly console: CallResult | undefined;
}

/** Opens them while the host's file systems can be seen. */
export function openHostTrees(program: InitProgram, plan: RunPlan, host: SandboxHost, names: ScratchNames): HostTrees {
  const cgroups = host.cgroups === 'v2' || host.isUserNamespace ? [] : host.cgroups;
  program.purpose("open the host's devices");
  const isOpen = plan.hasDevices && !host.isUserNamespace;
  const sources = isOpen ? new Map<string, string>() : deviceSources(program, host, names);
  const nullDevice = sources.get('null');
  const hidden = plan.spec.isInsecure ? [] : host.maskedPaths.filter(({ isDirectory }) => !isDirectory);
  return {
    devices: new Map([...sources].map(([name, source]) => [name, openDevice(program, host, source)] as const)),
    covers: new Map(
      nullDevice === undefined ? [] : hidden.map(({ path }) => [path, openDevice(program, host, nullDevice)] as const),
    ),
    console: plan.console === undefined ? undefined : openTree(program, plan.console),
    sys: host.isUserNamespace ? openTree(program, '/sys') : undefined,
    cgroups: new Map(
      cgroups.map(({ name, source }) => [name, openTree(program, plan.cgroups.get(source) ?? source)] as const),
    ),
  };
}

/** Where the devices are: the host's in a user namespace, which can make none, else nodes of this run's own. */
function deviceSources(program: InitProgram, host: SandboxHost, names: ScratchNames): Map<string, string> {
  if (host.isUserNamespace) return new Map(DEVICES.map(({ name }) => [name, `/dev/${name}`]));
  return new Map(
    DEVICES.map(({ name, major, minor }) => {
      const node = names.next();
      program.call('mknodat', [AT.cwd, node, FILE_TYPE.char | 0o666, (major << 8) | minor]);
      return [name, node];
    }),
  );
}

/** Of all that a step can write to, only these mounts of single nodes let a device be opened. */
function openDevice(program: InitProgram, host: SandboxHost, source: string): CallResult {
  const tree = openTree(program, source);
  if (!host.isUserNamespace) {
    setAttributes(program, tree, MOUNT_ATTR.strictatime, MOUNT_ATTR.nodev | MOUNT_ATTR.anyAtime);
  }
  return tree;
}

/** Adds attributes to a detached tree and all in it, after taking others away. */
export function setAttributes(program: InitProgram, tree: CallResult, attributes: number, cleared = 0): void {
  const set = program.words([attributes, cleared, 0, 0]);
  program.call('mount_setattr', [tree, '', AT.emptyPath | AT.recursive, set, 32]);
}

/** Puts a detached tree on a path of the new root. */
export function attachTree(program: InitProgram, tree: CallResult, path: string): void {
  program.call('move_mount', [tree, '', AT.cwd, path, MOVE_MOUNT.fromEmptyPath | MOVE_MOUNT.toSymlinks]);
}

/** Makes /dev: a tmpfs with the devices of the host, terminals and shared memory of its own, and the usual links. */
export function mountDev(program: InitProgram, plan: RunPlan, trees: HostTrees): void {
  const { dev, spec } = plan;
  program.purpose('mount /dev');
  const flags = MS.nosuid | MS.strictatime | (trees.devices.size > 0 ? MS.nodev : 0);
  program.call('mount', ['tmpfs', dev, 'tmpfs', flags, 'mode=755,size=65536k']);
  for (const { name, major, minor } of DEVICES) {
    const tree = trees.devices.get(name);
    if (tree === undefined) {
      program.call('mknodat', [AT.cwd, `${dev}/${name}`, FILE_TYPE.char | 0o666, (major << 8) | minor]);
    } else bindFile(program, tree, `${dev}/${name}`);
  }
  if (trees.console !== undefined) bindFile(program, trees.console, `${dev}/console`);
  for (const [target, name] of DEVICE_LINKS) program.call('symlinkat', [target, AT.cwd, `${dev}/${name}`]);
  for (const name of ['pts', 'shm', 'mqueue']) program.call('mkdirat', [AT.cwd, `${dev}/${name}`, 0o755]);
  const ptsOptions = 'newinstance,ptmxmode=0666,mode=0620';
  program.attempt(
    (failed) => {
      const options = `${ptsOptions},gid=${(plan.namespace?.ids.gids.start ?? 0) + TTY_GROUP}`;
      program.call('mount', ['devpts', `${dev}/pts`, 'devpts', MS.nosuid | MS.noexec, options], { onError: failed });
    },
    () => program.call('mount', ['devpts', `${dev}/pts`, 'devpts', MS.nosuid | MS.noexec, ptsOptions]),
  );
  makeTerminal(program, plan);
  const shmOptions = `mode=1777,size=${spec.shmSizeBytes ?? DEFAULT_SHM_BYTES}`;
  program.call('mount', ['shm', `${dev}/shm`, 'tmpfs', HARDENED, shmOptions]);
  program.call('mount', ['mqueue', `${dev}/mqueue`, 'mqueue', HARDENED, undefined], { ignore: true });
}

function bindFile(program: InitProgram, tree: CallResult, path: string): void {
  program.call('mknodat', [AT.cwd, path, FILE_TYPE.regular | 0o666, 0]);
  attachTree(program, tree, path);
}

/** A fresh read-only sysfs, or the host's where a user namespace does not own the network namespace. */
export function mountSys(program: InitProgram, plan: RunPlan, host: SandboxHost, trees: HostTrees): void {
  const { sys, spec, network } = plan;
  const readonly = spec.isInsecure ? 0 : MS.rdonly;
  program.purpose('mount /sys');
  const hostTree = trees.sys;
  if (hostTree === undefined) {
    program.call('mount', ['sysfs', sys, 'sysfs', HARDENED | readonly, undefined]);
    mountCgroups(program, `${sys}/fs/cgroup`, host, trees, readonly);
    return;
  }
  const attributes = MOUNT_ATTR.nosuid | MOUNT_ATTR.nodev | MOUNT_ATTR.noexec;
  setAttributes(program, hostTree, attributes | (spec.isInsecure ? 0 : MOUNT_ATTR.rdonly));
  const bind = (): void => attachTree(program, hostTree, sys);
  if (network.mode === 'host') bind();
  else {
    program.attempt(
      (failed) => program.call('mount', ['sysfs', sys, 'sysfs', HARDENED | readonly, undefined], { onError: failed }),
      bind,
    );
  }
}

/** The process's own cgroups; a machine without them is no reason to fail. */
function mountCgroups(program: InitProgram, path: string, host: SandboxHost, trees: HostTrees, readonly: number): void {
  const best = { ignore: true };
  if (host.cgroups === 'v2') {
    program.call('mount', ['cgroup', path, 'cgroup2', HARDENED | readonly, undefined], best);
    return;
  }
  if (trees.cgroups.size === 0) return;
  program.call('mount', ['tmpfs', path, 'tmpfs', HARDENED, 'mode=755'], best);
  const attributes = MOUNT_ATTR.nosuid | MOUNT_ATTR.nodev | MOUNT_ATTR.noexec | (readonly ? MOUNT_ATTR.rdonly : 0);
  for (const [name, tree] of trees.cgroups) {
    const target = `${path}/${name}`;
    program.call('mkdirat', [AT.cwd, target, 0o755], best);
    setAttributes(program, tree, attributes);
    attachTree(program, tree, target);
  }
}

/** After all other mounts: no path of a Dockerfile is ever resolved with a /proc in reach. */
export function mountProc(program: InitProgram, plan: RunPlan): void {
  program.purpose('mount /proc');
  program.call('mount', ['proc', plan.proc, 'proc', HARDENED, undefined], { tag: 'proc' });
}

/**
 * Hides what tells about the machine and makes its switches read-only, in one of the kernel's file systems. Nothing here is
 * resolved through what the step brings along: /sys is done before its mounts, /proc is never covered, and the null device
 * is none of /dev's.
 */
export function hideKernelPaths(
  program: InitProgram,
  plan: RunPlan,
  host: SandboxHost,
  { covers }: HostTrees,
  top: '/proc/' | '/sys/',
): void {
  for (const path of host.readonlyPaths.filter((name) => name.startsWith(top))) {
    const place = placeOf(path, plan);
    program.purpose(`make ${path} read-only`);
    program.call('mount', [place, place, undefined, MS.bind | MS.rec, undefined]);
    program.call('mount', [undefined, place, undefined, MS.bind | MS.remount | MS.rdonly | HARDENED, undefined]);
  }
  for (const { path } of host.maskedPaths.filter((masked) => masked.path.startsWith(top))) {
    const place = placeOf(path, plan);
    program.purpose(`hide ${path}`);
    const cover = covers.get(path);
    if (cover === undefined) program.call('mount', ['tmpfs', place, 'tmpfs', MS.rdonly, undefined]);
    else attachTree(program, cover, place);
  }
}

function placeOf(path: string, plan: RunPlan): string {
  return path.startsWith('/proc/') ? `${plan.proc}${path.slice(5)}` : `${plan.sys}${path.slice(4)}`;
}
