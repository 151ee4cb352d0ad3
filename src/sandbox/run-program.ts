// Writes a run down as a program for tsbuild-init.
//
// Three processes. The *supervisor* is Node's child: it dies with Node. The *keeper* is its child and process 1 of a pid
// namespace: it dies with the supervisor, and the kernel ends everything in its namespace with it, whatever the command
// made of its own credentials and signals. The third has all other namespaces, is process 1 of an inner pid namespace,
// sets the sandbox up and becomes the command. So nothing can outlive the builder, however it ends.

import { dropPrivileges, enterSession, enterWorkingDirectory, execute, setLimits } from './identity-steps.ts';
import { PROGRAM_ADDRESS } from './init-image.ts';
import { type CallResult, type DataReference, InitProgram, type Label } from './init-program.ts';
import { hideKernelPaths, mountDev, mountProc, mountSys, openHostTrees } from './kernel-mounts.ts';
import { attachMounts, openMounts } from './mount-steps.ts';
import { keepPretenceSocket, PRETENCE_FD } from './pretence-steps.ts';
import { detachOldRoot, protectRoot, enterScratch, makeStubs, mountOverlay, pivotInto } from './rootfs-steps.ts';
import type { RunPlan } from './run-plan.ts';
import type { SandboxHost } from './sandbox-host.ts';
import { startFuse } from './fuse-overlay.ts';
import type { StandIns } from './stand-in.ts';
import { StepMapping } from './step-mapping.ts';
import { AT, CLONE, EINTR, IOCTL, MAX_FD, OPEN, PRCTL, SA_NOCLDSTOP, SIG, SIGNAL, signalSet } from './syscalls.ts';

/** Offset in the program's header where the command's raw wait status is written; -1 before. */
export const WAIT_STATUS_OFFSET = 16;

const WAIT_ALL = 0x40000000;
/** Only the supervisor keeps it, and the builder reads from it: each sees the other's end. */
export const LIFELINE_FD = 4;
/** The lowest descriptor free once all above the lifeline have been closed. */
export const FIRST_FREE_FD = 5;

/** The program of a run; `filter` is used unless the run is insecure, undefined is none. */
export function compileRun(plan: RunPlan, host: SandboxHost, filter: Buffer | undefined): InitProgram {
  const program = new InitProgram(host.arch);
  const ends = startProcesses(program, plan, { namespaces: namespaceFlags(plan, host), fuseHost: host });
  setUpSandbox(program, plan, host, filter);
  writeEnds(program, ends, plan);
  return program;
}

function setUpSandbox(program: InitProgram, plan: RunPlan, host: SandboxHost, filter: Buffer | undefined): void {
  const { spec } = plan;
  joinNetwork(program, plan);
  const mapping = plan.namespace === undefined ? undefined : new StepMapping(program, plan.namespace);
  mapping?.joinNamespaces(program, ownedNamespaces(plan, host));
  mapping?.becomeRoot(program);
  const names = enterScratch(program, host, mapping);
  program.purpose('mount the root filesystem');
  const root = mountOverlay(program, host, names, spec.rootfs, { hasDevices: plan.hasDevices });
  const mounts = openMounts(program, plan, host, names);
  const trees = openHostTrees(program, plan, host, names);
  const oldRoot = pivotInto(program, root);
  makeStubs(program, plan);
  mountDev(program, plan, trees);
  mountSys(program, plan, host, trees);
  if (!spec.isInsecure) hideKernelPaths(program, plan, host, trees, '/sys/');
  attachMounts(program, mounts);
  mountProc(program, plan);
  if (!spec.isInsecure) hideKernelPaths(program, plan, host, trees, '/proc/');
  detachOldRoot(program, oldRoot);
  program.purpose('set the hostname');
  program.call('sethostname', [spec.hostname, Buffer.byteLength(spec.hostname)]);
  if (plan.network.mode === 'none') bringLoopbackUp(program);
  setLimits(program, plan, host);
  enterSession(program, plan);
  mapping?.enter(program);
  program.purpose('close descriptors');
  program.call('close_range', [plan.isPretending ? keepPretenceSocket(program) : 3, MAX_FD, 0]);
  enterWorkingDirectory(program, spec.process.cwd);
  if (spec.isRootReadonly === true) protectRoot(program);
  dropPrivileges(program, plan, host, filter);
  execute(program, plan);
}

/** The other processes of a run. */
interface Ends {
  readonly keeperPid: CallResult;
  readonly innermostPid: CallResult;
  /** Descriptors the keeper shares with others and must let go of. */
  readonly fuseFds: readonly number[];
  readonly supervisor: Label;
  readonly keeper: Label;
  readonly gone: Label;
}

/** What the supervisor waits for: its child's end, or the builder's word to end it. */
const AWAITED = signalSet(SIGNAL.chld, SIGNAL.term);

interface ProcessOptions {
  /** Of the innermost process. */
  readonly namespaces: number;
  /** Calls the supervisor makes just before it starts the others, which inherit what they bring about. */
  readonly before?: (program: InitProgram) => void;
  /** For its stand-ins that are fuse-overlayfs one is started beside the innermost process. */
  readonly fuseHost?: SandboxHost;
}

/** Leaves the following records to the innermost process. */
export function startProcesses(
  program: InitProgram,
  plan: Pick<RunPlan, 'isTerminal' | 'cgroups'> & Partial<Pick<RunPlan, 'isPretending'>>,
  { namespaces, before, fuseHost }: ProcessOptions,
): Ends {
  const ends = {
    supervisor: program.label(),
    keeper: program.label(),
    gone: program.label(),
  };
  program.purpose('start the sandbox');
  program.call('prctl', [PRCTL.setName, 'tsbuild-init'], { ignore: true });
  program.call('prctl', [PRCTL.setParentDeathSignal, SIGNAL.kill]);
  program.call('rt_sigaction', [SIGNAL.pipe, program.words([0, 0, 0, 0]), undefined, 8]);
  const firstFreeFd = plan.isPretending ? PRETENCE_FD + 1 : FIRST_FREE_FD;
  program.call('close_range', [firstFreeFd, MAX_FD, 0]);
  // A builder that died before its death could be asked for has left a pipe without a reader.
  const poll = program.words([LIFELINE_FD]);
  program.call('ppoll', [poll, 1, program.words([0, 0]), undefined, 8], { onPositive: ends.gone });
  if (!plan.isTerminal) program.call('setsid', [], { ignore: true });
  program.call('rt_sigaction', [SIGNAL.chld, program.words([0, SA_NOCLDSTOP, 0, 0]), undefined, 8]);
  program.call('rt_sigprocmask', [SIG.setMask, program.words([AWAITED]), undefined, 8]);
  program.call('pipe2', [program.words([0]), OPEN.cloexec]);
  before?.(program);
  program.purpose('make a pid namespace');
  program.call('unshare', [CLONE.newPid], { tag: 'namespaces' });
  const keeperPid = program.call('clone', [SIGNAL.chld], { onPositive: ends.supervisor });
  program.call('rt_sigprocmask', [SIG.setMask, program.words([0]), undefined, 8]);
  program.call('prctl', [PRCTL.setParentDeathSignal, SIGNAL.kill]);
  program.call('close', [LIFELINE_FD]);
  program.call('close', [firstFreeFd]);
  program.call('write', [firstFreeFd + 1, '\n', 1]);
  const fuseFds = fuseHost?.standIns === undefined ? [] : startAllFuse(program, fuseHost, fuseHost.standIns);
  for (const dir of plan.cgroups.values()) enterCgroup(program, dir);
  program.purpose('make namespaces');
  const innermostPid = program.call('clone', [namespaces | SIGNAL.chld], {
    onPositive: ends.keeper,
    tag: 'namespaces',
  });
  return { ...ends, keeperPid, innermostPid, fuseFds };
}

function startAllFuse(program: InitProgram, host: SandboxHost, standIns: StandIns): readonly number[] {
  const fds: number[] = [];
  for (const [overlay, standIn] of standIns) {
    if (standIn.kind !== 'fuse') continue;
    startFuse(program, host, overlay, standIn);
    fds.push(standIn.fd);
  }
  return fds;
}

/** The calling process, and with it all it starts. */
function enterCgroup(program: InitProgram, dir: string): void {
  program.purpose(`enter the cgroup ${dir}`);
  const procs = program.call('openat', [AT.cwd, `${dir}/cgroup.procs`, OPEN.wronly | OPEN.cloexec], { tag: 'cgroup' });
  program.call('write', [procs, '0', 1], { tag: 'cgroup' });
  program.call('close', [procs]);
}

/** As under Docker, cgroups have a namespace of their own only where they are one tree. */
function namespaceFlags(plan: RunPlan, host: SandboxHost): number {
  const mine = CLONE.newNs | CLONE.newPid;
  return plan.namespace !== undefined ? mine : ownedNamespaces(plan, host).reduce((all, [, flag]) => all | flag, mine);
}

/** What belongs to the command's user namespace. */
function ownedNamespaces({ network }: RunPlan, host: SandboxHost): readonly (readonly [name: string, flag: number])[] {
  return [
    ['uts', CLONE.newUts],
    ['ipc', CLONE.newIpc],
    ...(network.mode === 'none' ? ([['net', CLONE.newNet]] as const) : []),
    ...(host.cgroups === 'v2' ? ([['cgroup', CLONE.newCgroup]] as const) : []),
  ];
}

/** What the supervisor and the keeper do; `first` are the calls the supervisor makes once it has started the others. */
export function writeEnds(
  program: InitProgram,
  ends: Ends,
  plan: Pick<RunPlan, 'isTerminal'>,
  first: () => void = () => {},
): void {
  program.purpose('wait for the command');
  program.place(ends.keeper);
  for (const fd of ends.fuseFds) program.call('close', [fd]);
  const awaited = ends.fuseFds.length > 0 ? ends.innermostPid : -1;
  program.call('wait4', [awaited, PROGRAM_ADDRESS + WAIT_STATUS_OFFSET, WAIT_ALL, undefined]);
  program.call('exit_group', [0]);
  program.place(ends.supervisor);
  first();
  const group = program.words([0]);
  if (plan.isTerminal) program.call('getpgid', [0], { storeAt: group });
  waitForKeeper(program, ends.keeperPid);
  if (plan.isTerminal) takeTerminalBack(program, group);
  program.place(ends.gone);
  program.call('exit_group', [0]);
}

/** Reaping the keeper comes after the end of all in its namespace: the supervisor's own end says that nothing is left. */
function waitForKeeper(program: InitProgram, keeperPid: CallResult): void {
  const again = program.label();
  program.place(again);
  program.call('rt_sigtimedwait', [program.words([AWAITED]), undefined, undefined, 8], {
    onError: again,
    onErrno: EINTR,
  });
  program.call('kill', [keeperPid, SIGNAL.kill], { ignore: true });
  program.call('wait4', [-1, undefined, WAIT_ALL, undefined]);
}

/** The builder's process group is in the foreground again, as a shell would have it. */
function takeTerminalBack(program: InitProgram, group: DataReference): void {
  program.call('rt_sigprocmask', [SIG.block, program.words([signalSet(SIGNAL.ttou)]), undefined, 8]);
  program.call('ioctl', [0, IOCTL.setForegroundGroup, group], { ignore: true });
}

/** Goes into a network made before, while the host's /proc is in reach. */
export function joinNetwork(program: InitProgram, { network }: Pick<RunPlan, 'network'>): void {
  if (network.mode !== 'joined') return;
  program.purpose("join the step's network");
  const namespace = program.call('openat', [AT.cwd, network.namespacePath, OPEN.rdonly | OPEN.cloexec]);
  program.call('setns', [namespace, CLONE.newNet]);
  program.call('close', [namespace]);
}

const AF_INET = 2;
const SOCK_DGRAM = 2;
const IFF_UP_RUNNING = 0x41;

function bringLoopbackUp(program: InitProgram): void {
  program.purpose('bring the loopback device up');
  const request = Buffer.alloc(40);
  request.write('lo');
  request.writeUInt16LE(IFF_UP_RUNNING, 16);
  const socket = program.call('socket', [AF_INET, SOCK_DGRAM, 0]);
  program.call('ioctl', [socket, IOCTL.setInterfaceFlags, request]);
}
