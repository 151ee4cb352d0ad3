// A run through an OCI runtime as a program for tsbuild-init: the bundle is put together in a mount namespace of its own,
// on a tmpfs nobody else sees, and the runtime is started there, in a pid namespace that ends with the builder.
import type { CallResult } from './init-program.ts';
import { InitProgram } from './init-program.ts';
import { enterSession } from './identity-steps.ts';
import { attachTree, setAttributes } from './kernel-mounts.ts';
import { openMounts } from './mount-steps.ts';
import { enterScratch, makeStubs, mountOverlay, openTree, type ScratchNames } from './rootfs-steps.ts';
import type { RunPlan } from './run-plan.ts';
import { joinNetwork, startProcesses, writeEnds } from './run-program.ts';
import { type RuntimeMount, runtimeConfig } from './runtime-config.ts';
import type { SandboxHost } from './sandbox-host.ts';
import { AT, CLONE, FILE_TYPE, MAX_FD, MOUNT_ATTR, MS, OPEN } from './syscalls.ts';

/** Descriptor under which the runtime finds its log. */
const LOG_FD = 9;
const HARDENED = MOUNT_ATTR.nosuid | MOUNT_ATTR.nodev | MOUNT_ATTR.noexec;

interface RuntimeRun {
  readonly plan: RunPlan;
  readonly host: SandboxHost;
  /** Path of the runtime's executable. */
  readonly runtime: string;
  /** Name of the container. */
  readonly id: string;
  /** As the runtime takes it: from the top of every cgroup tree, or without a slash from the own cgroup there. */
  readonly cgroupsPath: string;
  /** A path that leads to the file the runtime writes its log to. */
  readonly logPath: string;
}

/** The program that puts the bundle together and ends as the runtime does. */
export function compileRuntimeRun({ plan, host, runtime, id, cgroupsPath, logPath }: RuntimeRun): InitProgram {
  const program = new InitProgram(host.arch);
  const ends = startProcesses(program, plan, { namespaces: CLONE.newNs, fuseHost: host });
  joinNetwork(program, plan);
  program.purpose("open the runtime's log");
  const log = program.call('openat', [AT.cwd, logPath, OPEN.wronly | OPEN.append | OPEN.cloexec]);
  const names = enterScratch(program, host);
  program.purpose('mount the root filesystem');
  const root = mountOverlay(program, host, names, plan.spec.rootfs, { hasDevices: plan.spec.isInsecure });
  const opened = openMounts(program, plan, host, names);
  const mounts = [
    ...opened.networkFiles.map(({ tree, path }) => bindOf(program, names, host, { tree, path, type: 'file' })),
    ...opened.mounts.map(({ tree, target }) => bindOf(program, names, host, { tree, ...target })),
  ];
  const sys = hostSys(program, plan, host, names);
  const inRoot = <T extends { readonly path: string }>(entry: T): T => ({ ...entry, path: `${root}${entry.path}` });
  makeStubs(program, { stubs: plan.stubs.map(inRoot), parents: plan.parents.map(inRoot) });
  const rootfs = `${host.mountPoint}/${root}`;
  writeFile(program, 'config.json', runtimeConfig({ plan, host, rootfs, mounts, sys, cgroupsPath }));
  program.purpose('mount /proc');
  program.call('mount', ['proc', '/proc', 'proc', MS.nosuid | MS.nodev | MS.noexec, undefined], { tag: 'proc' });
  program.purpose('close descriptors');
  program.call('dup3', [log, LOG_FD, 0]);
  program.call('close_range', [3, LOG_FD - 1, 0]);
  program.call('close_range', [LOG_FD + 1, MAX_FD, 0]);
  program.call('umask', [0o022]);
  enterSession(program, plan);
  startRuntime(program, runtime, id);
  writeEnds(program, ends, plan);
  return program;
}

/** The machine's /sys, with all in it read-only: a runtime's own option reaches the topmost mount alone. */
function hostSys(
  program: InitProgram,
  { spec, network, sys }: RunPlan,
  host: SandboxHost,
  names: ScratchNames,
): RuntimeMount | undefined {
  if (!host.isUserNamespace || network.mode !== 'host') return undefined;
  program.purpose('prepare /sys');
  const tree = openTree(program, '/sys');
  setAttributes(program, tree, HARDENED | (spec.isInsecure ? 0 : MOUNT_ATTR.rdonly));
  return bindOf(program, names, host, { tree, path: sys, type: 'dir' });
}

function startRuntime(program: InitProgram, runtime: string, id: string): void {
  program.purpose(`start the runtime ${runtime}`);
  const log = ['--log', `/proc/self/fd/${LOG_FD}`, '--log-format', 'json'];
  const args = [runtime, '--root', 'state', ...log, 'run', '--bundle', '.', id];
  program.call('execve', [runtime, program.textList(args), program.textList(['PATH=/usr/sbin:/usr/bin:/sbin:/bin'])]);
}

function writeFile(program: InitProgram, name: string, value: object): void {
  program.purpose(`write ${name}`);
  // An unlimited limit is a number that JavaScript cannot write.
  const json = JSON.stringify(value).replaceAll(/"(soft|hard)":-1\b/g, '"$1":18446744073709551615');
  const bytes = Buffer.from(json);
  const fd = program.call('openat', [AT.cwd, name, OPEN.creat | OPEN.excl | OPEN.wronly | OPEN.cloexec, 0o600]);
  program.call('write', [fd, bytes, bytes.length]);
  program.call('close', [fd]);
}

/** Puts a detached mount on the scratch tmpfs, for the runtime to bind from there. */
function bindOf(
  program: InitProgram,
  names: ScratchNames,
  host: SandboxHost,
  { tree, path, type }: { readonly tree: CallResult; readonly path: string; readonly type: 'dir' | 'file' },
): RuntimeMount {
  const name = names.next();
  program.purpose(`prepare the mount ${path}`);
  if (type === 'dir') program.call('mkdirat', [AT.cwd, name, 0o755]);
  else program.call('mknodat', [AT.cwd, name, FILE_TYPE.regular | 0o644, 0]);
  attachTree(program, tree, name);
  return { destination: path, type: 'bind', source: `${host.mountPoint}/${name}`, options: ['rbind'] };
}
