// The last steps before the command: limits, capabilities, the system call filter, the user, and execve.
import { DEFAULT_PATH } from '../../frontend/image-config.ts';
import { encodeBpf } from './bpf.ts';
import { CAPABILITIES, capabilityNames, DEFAULT_CAPABILITIES } from './capabilities.ts';
import type { InitProgram } from './init-program.ts';
import { startPretence } from './pretence-steps.ts';
import { RLIMITS } from './rlimits.ts';
import type { RunPlan } from './run-plan.ts';
import type { SandboxHost } from './sandbox-host.ts';
import { hostIDOf } from './step-mapping.ts';
import { compileSeccomp } from './seccomp.ts';
import { dockerProfile, type SeccompProfile } from './seccomp-profile.ts';
import {
  AT,
  IOCTL,
  KEYCTL_JOIN_SESSION_KEYRING,
  PRCTL,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW,
  SECCOMP_SET_MODE_FILTER,
  SIG,
  SIGNAL,
  signalSet,
} from './syscalls.ts';

/** What Docker gives on machines without a limit; programs that close every descriptor would never come to an end. */
const MAX_OPEN_FILES = 1048576;
const ENOENT = 2;

/** The filter of a profile as struct sock_filter[]. */
export function filterOf(host: SandboxHost, profile: SeccompProfile = dockerProfile()): Buffer {
  return encodeBpf(compileSeccomp(profile, host.arch, capabilityNames(DEFAULT_CAPABILITIES)));
}

/**
 * Whether programs are kept from gaining rights: on request, and where there is but one user id, so that neither a setuid
 * bit nor a capability of a file has anything to give.
 */
export function gainsNothing({ spec }: RunPlan, host: SandboxHost): boolean {
  return spec.noNewPrivileges ?? (!host.canSetGroups && !spec.isInsecure);
}

/** Sets the resource limits, while the process may still raise them. */
export function setLimits(program: InitProgram, plan: RunPlan, host: SandboxHost): void {
  for (const { name, soft, hard } of limitsOf(plan, host)) setLimit(program, name, soft, hard);
}

/** The limits of a run: those asked for, and one of open files where this machine has none. */
export function limitsOf({ spec }: RunPlan, host: SandboxHost): NonNullable<RunPlan['spec']['ulimits']> {
  const limits = spec.ulimits ?? [];
  if (host.maxOpenFiles <= MAX_OPEN_FILES || limits.some(({ name }) => name === 'nofile')) return limits;
  return [{ name: 'nofile', soft: MAX_OPEN_FILES, hard: MAX_OPEN_FILES }, ...limits];
}

function setLimit(program: InitProgram, name: string, soft: number, hard: number): void {
  const resource = RLIMITS[name];
  if (resource === undefined) throw new Error(`internal error: unknown limit ${name}`);
  program.purpose(`set the limit ${name}=${soft}:${hard}`);
  program.call('prlimit64', [0, resource, program.words([soft, hard]), undefined]);
}

/** A session of its own with no one's keys, or the terminal when the process is to have it. */
export function enterSession(program: InitProgram, plan: RunPlan): void {
  program.purpose('start a session');
  program.call('keyctl', [KEYCTL_JOIN_SESSION_KEYRING, undefined], { ignore: true });
  if (!plan.isTerminal) {
    program.call('setsid', [], { ignore: true });
    if (plan.ownsTerminal) program.call('ioctl', [0, IOCTL.setControllingTerminal, 0], { ignore: true });
    // So that the process may open /dev/stdout again, whoever it is.
    const uid = plan.namespace === undefined ? plan.user.uid : hostIDOf(plan.user.uid, plan.namespace.ids.uids);
    for (const fd of [0, 1, 2]) program.call('fchown', [fd, uid, -1], { ignore: true });
    return;
  }
  const blocked = program.words([signalSet(SIGNAL.ttou)]);
  program.call('rt_sigprocmask', [SIG.block, blocked, undefined, 8]);
  program.call('setpgid', [0, 0], { ignore: true });
  program.call('ioctl', [0, IOCTL.setForegroundGroup, program.words([1])], { ignore: true });
  program.call('rt_sigprocmask', [SIG.unblock, blocked, undefined, 8]);
}

/** Goes to the working directory, making it when the image lacks it, as BuildKit does. */
export function enterWorkingDirectory(program: InitProgram, cwd: string): void {
  const path = cwd === '' ? '/' : cwd;
  program.purpose(`change to the working directory ${path}`);
  program.attempt(
    (failed) => program.call('chdir', [path], { onError: failed, onErrno: ENOENT }),
    () => {
      const names = path.split('/').filter((name) => name !== '');
      for (const [index] of names.entries()) {
        program.call('mkdirat', [AT.cwd, `/${names.slice(0, index + 1).join('/')}`, 0o755], { ignore: true });
      }
      program.call('chdir', [path]);
    },
  );
  program.call('umask', [0o022]);
}

/** Tags of the records before the command that its filter sees. */
export const FILTERED_TAG = { ids: 'ids', capabilities: 'capabilities' } as const;

/**
 * Becomes the user with Docker's default capabilities and filter. The filter goes in while the right to install one
 * without no_new_privs is still held; execve then computes root's capabilities from the bounding set, and no other
 * user's has any.
 */
export function dropPrivileges(
  program: InitProgram,
  plan: RunPlan,
  host: SandboxHost,
  filter: Buffer | undefined,
): void {
  const { spec, user, isPretending } = plan;
  const wanted =
    (spec.isInsecure ? (1n << BigInt(host.lastCapability + 1)) - 1n : DEFAULT_CAPABILITIES) & host.permitted;
  program.purpose('drop capabilities');
  for (let number = 0; number <= host.lastCapability; number++) {
    if (((wanted >> BigInt(number)) & 1n) === 0n) {
      program.call('prctl', [PRCTL.capBsetDrop, number, 0, 0, 0], { ignore: number >= CAPABILITIES.length });
    }
  }
  program.call('prctl', [PRCTL.capAmbient, PRCTL.capAmbientClearAll, 0, 0, 0], { ignore: true });
  if (gainsNothing(plan, host)) program.call('prctl', [PRCTL.setNoNewPrivileges, 1, 0, 0, 0]);
  if (!spec.isInsecure && filter !== undefined) installFilter(program, filter);
  if (isPretending) startPretence(program, host.arch);
  program.purpose(`become the user ${user.uid}:${user.gid}`);
  // The one id is root's already, and so is what is pretended.
  const isAlready = isPretending === true && user.uid === 0 && user.gid === 0 && user.groups.join() === '0';
  if (!isAlready && (host.canSetGroups || isPretending))
    program.call('setgroups', [user.groups.length, idList(user.groups)], { tag: FILTERED_TAG.ids });
  if (!isAlready) program.call('setresgid', [user.gid, user.gid, user.gid], { tag: FILTERED_TAG.ids });
  program.call('capset', [program.words([0x20080522]), capabilityData(wanted, spec.isInsecure ? wanted : 0n)], {
    tag: FILTERED_TAG.capabilities,
  });
  if (!isAlready) program.call('setresuid', [user.uid, user.uid, user.uid], { tag: FILTERED_TAG.ids });
}

function installFilter(program: InitProgram, filter: Buffer): void {
  program.purpose('install the system call filter');
  const fprog = program.words([filter.length / 8, program.bytes(filter)]);
  program.attempt(
    (failed) => {
      const flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
      program.call('seccomp', [SECCOMP_SET_MODE_FILTER, flags, fprog], { onError: failed });
    },
    () => program.call('seccomp', [SECCOMP_SET_MODE_FILTER, 0, fprog]),
  );
}

function idList(ids: readonly number[]): Buffer {
  return Buffer.from(Uint32Array.from(ids).buffer);
}

/** struct __user_cap_data_struct[2]: effective, permitted, inheritable. */
function capabilityData(mask: bigint, inheritable: bigint): Buffer {
  const data = Buffer.alloc(24);
  for (const [index, shift] of [0n, 32n].entries()) {
    const half = Number((mask >> shift) & 0xffffffffn);
    data.writeUInt32LE(half, index * 12);
    data.writeUInt32LE(half, index * 12 + 4);
    data.writeUInt32LE(Number((inheritable >> shift) & 0xffffffffn), index * 12 + 8);
  }
  return data;
}

/** Tags of the records whose failure is the command's, not the sandbox's. */
export const EXEC_TAG = { exec: 'exec', notInPath: 'not-in-path' } as const;

const EACCES = 13;

/** Starts the command; a name without a slash is looked for in the process's own PATH. */
export function execute(program: InitProgram, { spec, env }: RunPlan): void {
  const [name = ''] = spec.process.args;
  const argv = program.textList(spec.process.args);
  const envp = program.textList(env);
  program.purpose(`execute ${name}`);
  if (name.includes('/')) {
    program.call('execve', [name, argv, envp], { tag: EXEC_TAG.exec });
    return;
  }
  const path = env.findLast((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? DEFAULT_PATH;
  for (const dir of name === '' ? [] : path.split(':')) {
    const file = `${dir === '' ? '.' : dir}/${name}`;
    const next = program.label();
    program.call('faccessat', [AT.cwd, file, 1], { onError: next });
    program.call('execve', [file, argv, envp], { onError: next, onErrno: EACCES, tag: EXEC_TAG.exec });
    program.place(next);
  }
  program.call('execve', ['', argv, envp], { tag: EXEC_TAG.notInPath });
}
