// What a failed record of the init's program means to the user: either the command could not be executed, or the
// sandbox could not be set up, and then why and what to do.
import { errnoName } from '../sys/libc.ts';
import { constants } from 'node:os';
import { TsbuildError } from '../../solver/errors.ts';
import type { ExecFailure, ExitStatus } from './executor.ts';
import { EXEC_TAG, FILTERED_TAG } from './identity-steps.ts';
import type { RecordDescription } from './init-program.ts';
import { NESTED_TAG } from './mount-steps.ts';
import { FUSE_DEVICE_TAG, OVERLAY_TAG } from './stand-in.ts';
import { ID_MAPPING_TAG } from './step-mapping.ts';

/** The command's own failure to start as a value, or undefined when the failed call was the sandbox's. */
export function execStatus(
  record: RecordDescription,
  errno: number,
  command: string,
  hasOwnFilter = false,
): ExitStatus | undefined {
  if (record.tag === EXEC_TAG.notInPath) {
    return {
      code: 127,
      signal: undefined,
      execFailure: notFound(`exec: "${command}": executable file not found in $PATH`),
    };
  }
  if (record.tag !== EXEC_TAG.exec) return undefined;
  const { ENOENT, ENOTDIR, EACCES, ENOEXEC, E2BIG } = constants.errno;
  const failed = (kind: ExecFailure['kind'], text: string, hint?: string): ExitStatus => ({
    code: kind === 'not-found' ? 127 : 126,
    signal: undefined,
    execFailure: { kind, message: `exec: "${command}": ${text}`, ...(hint === undefined ? {} : { hint }) },
  });
  if (errno === ENOENT) return failed('not-found', 'no such file or directory');
  if (errno === ENOTDIR) return failed('not-found', 'not a directory');
  if (errno === EACCES) return failed('permission-denied', 'permission denied');
  if (errno === ENOEXEC) return failed('bad-format', 'exec format error', execFormatHint);
  if (errno === E2BIG) return failed('other', 'argument list too long', argumentsHint);
  return failed('other', errnoName(errno), hasOwnFilter ? filterHint(record) : undefined);
}

/** Runtimes install a filter as early as this one is, so that such profiles work in none. */
function filterHint({ call }: RecordDescription): string {
  return `the seccomp profile denies ${call}: starting a process takes ${NEEDED_CALLS}`;
}

const NEEDED_CALLS = 'capset, execve, exit_group, faccessat, setgroups, setresgid and setresuid';

/** What to do about a program for another machine. */
export const execFormatHint =
  'the image may be for another machine type: choose one with --platform, or install emulation (qemu-user-static, binfmt-support)';

const argumentsHint =
  'the command and all of ENV and ARG together are more than the kernel passes on: put large values into files';

function notFound(message: string): ExecFailure {
  return { kind: 'not-found', message };
}

/** The error for a sandbox that could not be set up. `hasOwnFilter`: the system call filter is the user's. */
export function setupError(record: RecordDescription, errno: number, hasOwnFilter = false): TsbuildError {
  const name = errnoName(errno);
  const { EINVAL, ELOOP, EPERM, ENOSPC, ENOSYS, EROFS } = constants.errno;
  const message = `the sandbox could not ${record.purpose}: ${record.call}: ${name}`;
  const isFiltered = Object.values<string | undefined>(FILTERED_TAG).includes(record.tag);
  if (hasOwnFilter && isFiltered && errno !== EINVAL) {
    return new TsbuildError('TSB_SANDBOX_SETUP_FAILED', message, { hint: filterHint(record) });
  }
  if (errno === ENOSYS) {
    return new TsbuildError('TSB_SANDBOX_KERNEL_TOO_OLD', message, { hint: 'the sandbox needs Linux 5.12 or newer' });
  }
  if (record.tag === 'namespaces' && (errno === EPERM || errno === ENOSPC)) {
    return new TsbuildError('TSB_SANDBOX_NAMESPACES_DENIED', message, { hint: namespacesHint(errno === EPERM) });
  }
  if (record.tag === 'proc' && errno === EPERM) {
    const hint = "this machine's own /proc is partly hidden, as in a container: run that container privileged";
    return new TsbuildError('TSB_SANDBOX_SETUP_FAILED', message, { hint });
  }
  if (errno === EINVAL && record.tag === FILTERED_TAG.ids) {
    const hint = 'the user namespace has no such id: give yourself ranges in /etc/subuid and /etc/subgid';
    return new TsbuildError('TSB_SANDBOX_ID_NOT_MAPPED', message, { hint });
  }
  if (errno === EINVAL && record.tag === ID_MAPPING_TAG) {
    const hint =
      '--userns needs Linux 5.19 or newer, and the store on a file system that can map ids, such as ext4, xfs or btrfs';
    return new TsbuildError('TSB_SANDBOX_IDS_NOT_MAPPABLE', message, { hint });
  }
  if (errno === ELOOP && record.tag === NESTED_TAG) {
    return new TsbuildError(
      'TSB_SANDBOX_MOUNT_TARGET',
      `the sandbox could not ${record.purpose}: a symbolic link inside another mount is not followed`,
      { hint: 'name the directory that the link leads to' },
    );
  }
  if (record.tag === FUSE_DEVICE_TAG) {
    return new TsbuildError('TSB_SANDBOX_SETUP_FAILED', message, { hint: FUSE_DEVICE_HINT });
  }
  if (record.tag === OVERLAY_TAG && record.call === 'mount') {
    return new TsbuildError('TSB_SANDBOX_SETUP_FAILED', message, { hint: OVERLAY_HINT });
  }
  if (record.tag === 'cgroup') {
    const hint =
      'leave out the limits, or start it in a delegated cgroup: systemd-run --user --scope -p Delegate=yes tsbuild …';
    return new TsbuildError('TSB_SANDBOX_CGROUP_FAILED', message, { hint });
  }
  if (errno === EROFS) {
    const hint = 'the mount point does not exist and cannot be made on a read-only mount';
    return new TsbuildError('TSB_SANDBOX_SETUP_FAILED', message, { hint });
  }
  return new TsbuildError('TSB_SANDBOX_SETUP_FAILED', message);
}

const FUSE_DEVICE_HINT = 'give this user /dev/fuse (in a container: --device /dev/fuse), or leave out TSBUILD_OVERLAY';

/** What to do where the store cannot hold the marks of deletions that the other tiers make. */
export const UNMARKED_FIX =
  'for builds whose steps delete nothing of earlier ones, TSBUILD_OVERLAY=fuse or TSBUILD_OVERLAY=copy will do';

/** Where the kernel's overlays can be had. */
export const STORE_FIX = 'put the store on ext4, xfs, btrfs or tmpfs: name a directory there with TSBUILD_ROOT';

const OVERLAY_HINT = `${STORE_FIX}; ${UNMARKED_FIX}`;

function namespacesHint(isDenied: boolean): string {
  if (!isDenied) return 'raise the limits user.max_*_namespaces (sysctl)';
  return 'this process may not make namespaces: inside a container, run that container privileged';
}
