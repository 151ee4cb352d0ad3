// The way into a user namespace for callers who are not root.
//
// The process replaces itself by tsbuild-init, which makes the namespace, has the ids mapped by newuidmap and newgidmap
// (or maps the one own id where these or a subordinate range are missing), and replaces itself by the same Node command
// again: same pid, same terminal, nothing left in between. In there the process is root over the mapped ids. When the
// kernel refuses, Node starts once more outside and says why.
import { accessSync, constants } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { userInfo } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { makeMemoryFile } from '../sys/libc.ts';
import { replaceProcess } from '../sys/replace-process.ts';
import { writeAllAt } from '../sys/write-all.ts';
import { initImage } from './init-image.ts';
import { InitProgram, type Label } from './init-program.ts';
import { machineArch, readText } from './sandbox-host.ts';
import { AT, CLONE, MS, OPEN, PRCTL, SIGNAL } from './syscalls.ts';

/** Environment variable that tells the command started again how the entry went. */
export const USER_NAMESPACE_VARIABLE = 'TSBUILD_USER_NAMESPACE';

/** Whether this process must enter a user namespace before it can build. */
export function needsUserNamespace(): boolean {
  return process.geteuid?.() !== 0;
}

/** False for an ordinary user, also in the namespace that makes it root. */
export function isMachineRoot(): boolean {
  return !needsUserNamespace() && process.env[USER_NAMESPACE_VARIABLE] === undefined;
}

/** Ids beyond the caller's own that the namespace gets. */
interface SubordinateIds {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
  readonly newuidmap: string;
  readonly newgidmap: string;
}

interface IdRange {
  readonly start: number;
  readonly count: number;
}

type SingleReason = 'no-mapper' | 'no-range';

/**
 * Starts this very command again as root of a new user namespace, in this process: it does not return. Throws
 * TSB_SANDBOX_USER_NAMESPACE_DENIED when an earlier try in this process failed.
 */
export async function enterUserNamespace(): Promise<never> {
  if (process.env[USER_NAMESPACE_VARIABLE] === 'denied') throw deniedError();
  const arch = machineArch();
  const ids = findSubordinateIds();
  const program = new InitProgram(arch);
  writeEntry(program, ids);
  const programFd = makeMemoryFile('tsbuild-userns');
  writeAllAt(programFd, program.assemble(), 0);
  const initFd = makeMemoryFile('tsbuild-init', { executable: true });
  writeAllAt(initFd, initImage(arch), 0);
  flushCompileCache();
  return replaceProcess({ path: `/proc/self/fd/${initFd}`, argv: ['tsbuild-init'], env: [], fd3: programFd });
}

/** A sentence for the user when the namespace has a single id and files of others cannot be represented. */
export function userNamespaceWarning(): string | undefined {
  const entry = process.env[USER_NAMESPACE_VARIABLE];
  if (entry === 'denied' || mappedIds() > 1) return undefined;
  const consequence =
    'only one user id is available, so other owners are recorded but not enforced, and devices are left out';
  if (entry === undefined) return `${consequence}: map a range of ids into this user namespace`;
  if (entry === 'no-mapper') return `${consequence}: ${MAPPER_FIX}`;
  if (entry === 'no-range') {
    return `${consequence}: give yourself a range in /etc/subuid and /etc/subgid (${rangeCommand()})`;
  }
  return `${consequence}: newuidmap or newgidmap failed`;
}

const MAPPER_FIX = 'install newuidmap and newgidmap (package uidmap or shadow-utils)';

/** What gives this user several ids, by what kept them from it; for a machine that has given only one. */
export function singleIDFix(entry: string | undefined = process.env[USER_NAMESPACE_VARIABLE]): string {
  if (entry === undefined) return `map a range of ${SUBORDINATE_IDS} ids into it`;
  if (entry === 'no-mapper') return MAPPER_FIX;
  if (entry === 'no-range') return rangeFix();
  return 'make newuidmap and newgidmap setuid root again, and the ranges in /etc/subuid and /etc/subgid ones of their own';
}

/** What gives this user enough ids for any image. */
export function rangeFix(): string {
  return `give the user a range of ${SUBORDINATE_IDS} ids in /etc/subuid and /etc/subgid: as root, run ${rangeCommand()}`;
}

/** What root runs to give a user a range of ids that nobody else has. */
export function rangeCommand(given: string = ['/etc/subuid', '/etc/subgid'].map(readText).join('\n')): string {
  const ends = given.split('\n').map((line) => {
    const [, start = Number.NaN, count = Number.NaN] = line.split(':').map(Number);
    return start + count;
  });
  const first = Math.max(FIRST_SUBORDINATE_ID, ...ends.filter(Number.isInteger));
  const range = `${first}-${first + SUBORDINATE_IDS - 1}`;
  return `usermod --add-subuids ${range} --add-subgids ${range} USER`;
}

/** As useradd has them. */
const FIRST_SUBORDINATE_ID = 100_000;
const SUBORDINATE_IDS = 65_536;

/** How many ids this user namespace has: of users or of groups, whichever are fewer. */
export function mappedIds(): number {
  const counts = ['uid_map', 'gid_map'].map((file) => {
    const lines = (readText(`/proc/self/${file}`) ?? '').trim().split('\n');
    return lines.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2] ?? 0), 0);
  });
  return Math.min(...counts);
}

function findSubordinateIds(): SubordinateIds | SingleReason {
  const newuidmap = findExecutable('newuidmap');
  const newgidmap = findExecutable('newgidmap');
  if (newuidmap === undefined || newgidmap === undefined) return 'no-mapper';
  const { uid, username } = userInfo();
  const [uids, gids] = ['/etc/subuid', '/etc/subgid'].map((file) => parseRanges(readText(file) ?? '', username, uid));
  if (uids === undefined || gids === undefined || uids.length === 0 || gids.length === 0) return 'no-range';
  return { uids, gids, newuidmap, newgidmap };
}

/** Path of a program on PATH or in the usual places; never one in the current directory, which may hold others' files. */
export function findExecutable(name: string, more: readonly string[] = []): string | undefined {
  const dirs = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin', ...more];
  return dirs
    .filter(isAbsolute)
    .map((dir) => join(dir, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Ranges of a user in a file of /etc/subuid's form: `name:start:count`, or the number instead of the name. */
export function parseRanges(text: string, username: string, uid: number): readonly IdRange[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(':'))
    .filter(([owner]) => owner === username || owner === String(uid))
    .map(([, start, count]) => ({ start: Number(start), count: Number(count) }))
    .filter(({ start, count }) => Number.isInteger(start) && count > 0);
}

/** Arguments of newuidmap after the pid: inside id, outside id, count, … */
export function mapArguments(own: number, ranges: readonly IdRange[]): readonly string[] {
  const args = ['0', String(own), '1'];
  let next = 1;
  for (const { start, count } of ranges) {
    args.push(String(next), String(start), String(count));
    next += count;
  }
  return args;
}

function writeEntry(program: InitProgram, ids: SubordinateIds | SingleReason): void {
  const [failed, single, ready] = [program.label(), program.label(), program.label()];
  if (typeof ids === 'string') {
    program.call('unshare', [CLONE.newUser | CLONE.newNs], { onError: failed });
  } else {
    mapByHelpers(program, ids, failed);
    program.call('setresgid', [0, 0, 0], { onError: single });
    program.call('setresuid', [0, 0, 0], { onError: single });
    program.jump(ready);
  }
  program.place(single);
  mapOwnId(program, failed);
  program.place(ready);
  program.call('mount', [undefined, '/', undefined, MS.rec | MS.private], { onError: failed });
  startNode(program, typeof ids === 'string' ? ids : 'ranges');
  program.place(failed);
  startNode(program, 'denied');
}

/** A child outside the namespace waits for it to exist, then becomes the mappers, one after the other. */
function mapByHelpers(program: InitProgram, ids: SubordinateIds, failed: Label): void {
  const [parent, mapGroups] = [program.label(), program.label()];
  const none = program.textList([]);
  const one = program.words([1]);
  const pid = String(process.pid);
  const event = program.call('eventfd2', [0, OPEN.cloexec]);
  program.call('clone', [SIGNAL.chld], { onPositive: parent });
  program.call('prctl', [PRCTL.setParentDeathSignal, SIGNAL.kill]);
  program.call('read', [event, program.words([0]), 8]);
  program.call('clone', [SIGNAL.chld], { onPositive: mapGroups });
  const uidArgs = ['newuidmap', pid, ...mapArguments(process.getuid?.() ?? 0, ids.uids)];
  program.call('execve', [ids.newuidmap, program.textList(uidArgs), none]);
  program.place(mapGroups);
  program.call('wait4', [-1, undefined, 0, undefined]);
  const gidArgs = ['newgidmap', pid, ...mapArguments(process.getgid?.() ?? 0, ids.gids)];
  program.call('execve', [ids.newgidmap, program.textList(gidArgs), none]);
  program.place(parent);
  program.call('unshare', [CLONE.newUser | CLONE.newNs], { onError: failed });
  program.call('write', [event, one, 8]);
  program.call('wait4', [-1, undefined, 0, undefined]);
}

/** What an unprivileged process may map: its own ids, and no others through setgroups. */
function mapOwnId(program: InitProgram, failed: Label): void {
  const write = (file: string, text: string): void => {
    const fd = program.call('openat', [AT.cwd, `/proc/self/${file}`, OPEN.wronly | OPEN.cloexec], { ignore: true });
    program.call('write', [fd, text, text.length], { ignore: true });
  };
  write('setgroups', 'deny');
  write('uid_map', `0 ${process.getuid?.() ?? 0} 1`);
  write('gid_map', `0 ${process.getgid?.() ?? 0} 1`);
  program.call('setresgid', [0, 0, 0], { onError: failed });
  program.call('setresuid', [0, 0, 0], { onError: failed });
}

function startNode(program: InitProgram, entry: string): void {
  const { [USER_NAMESPACE_VARIABLE]: _, ...rest } = process.env;
  const env = Object.entries({ ...rest, [USER_NAMESPACE_VARIABLE]: entry }).map(([name, value]) => `${name}=${value}`);
  const argv = [process.argv0, ...process.execArgv, ...process.argv.slice(1)];
  program.call('execve', [process.execPath, program.textList(argv), program.textList(env)]);
}

const SYSCTLS: readonly {
  readonly name: string;
  readonly blocks: (value: string) => boolean;
  readonly want: string;
}[] = [
  { name: 'user.max_user_namespaces', blocks: (value) => value === '0', want: '15000' },
  { name: 'kernel.unprivileged_userns_clone', blocks: (value) => value === '0', want: '1' },
  { name: 'kernel.apparmor_restrict_unprivileged_userns', blocks: (value) => value === '1', want: '0' },
];

/** The error for a machine that lets this user make no user namespace; names the settings that say so. */
export function deniedError(
  readSysctl: (name: string) => string | undefined = (name) => readText(`/proc/sys/${name.replaceAll('.', '/')}`),
): TsbuildError {
  const blocking = SYSCTLS.filter(({ name, blocks }) => blocks(readSysctl(name)?.trim() ?? ''));
  const hint =
    blocking.length === 0
      ? 'no sysctl forbids it, so a container or a security module does: run that container privileged, or build as root'
      : `as root, run: ${blocking.map(({ name, want }) => `sysctl -w ${name}=${want}`).join('; ')} (or build as root)`;
  return new TsbuildError('TSB_SANDBOX_USER_NAMESPACE_DENIED', 'this user may not make a user namespace', { hint });
}
