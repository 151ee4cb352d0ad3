// The programs that give a network namespace a way out without anybody's privileges: pasta and slirp4netns. One runs for
// each namespace, outside of it, and moves packets between a device inside and sockets of its own.
//
// It runs as a sandbox's command does: a supervisor that dies with the builder, a keeper that dies with the supervisor,
// and the helper in the keeper's pid namespace, so that nothing of it can outlive the builder. The supervisor makes the
// namespace and stays in it; through it others find it.
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { errnoName, makePipe } from '../sys/libc.ts';
import type { InitExecutable, InitOutcome, InitProcess } from './init-process.ts';
import { type CallResult, InitProgram } from './init-program.ts';
import { hostResolvConf, resolvConf } from './network-files.ts';
import { startProcesses, writeEnds } from './run-program.ts';
import { machineArch } from './sandbox-host.ts';
import type { StepNamespace } from './step-mapping.ts';
import { AT, CLONE, MAX_FD, OPEN } from './syscalls.ts';
import { findExecutable } from './user-namespace.ts';

/** A program that was found on PATH. */
export interface NetworkHelper {
  readonly name: 'pasta' | 'slirp4netns';
  readonly path: string;
}

/** An address inside that answers for the host's resolver, wherever that is. */
export const HELPER_NAMESERVER = '10.0.2.3';

/** Where the helper finds the namespace, and what it writes to once it works. */
const NAMESPACE_FD = 60;
const READY_FD = 0;
const NAMESPACE_PATH = `/proc/self/fd/${NAMESPACE_FD}`;

const SLIRP4NETNS = [
  '--configure',
  '--mtu=65520',
  '--disable-host-loopback',
  '--enable-sandbox',
  '--enable-seccomp',
  `--ready-fd=${READY_FD}`,
  '--netns-type=path',
  NAMESPACE_PATH,
  'tap0',
];

const PASTA = [
  '--foreground',
  '--quiet',
  '--config-net',
  '--no-map-gw',
  ...['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'],
  ...['--pid', `/proc/self/fd/${READY_FD}`],
  // As root it would become nobody, who may not enter the namespace; in either case it drops its capabilities.
  ...['--runas', '0:0'],
  '--netns-only',
  ...['--netns', NAMESPACE_PATH],
];

/** pasta makes every answer of the host's resolver look like the address's, so that it is told only when in use. */
function argumentsOf({ name }: NetworkHelper): readonly string[] {
  if (name === 'slirp4netns') return SLIRP4NETNS;
  const isUsed = resolvConf(hostResolvConf(), { mode: 'joined', nameserver: HELPER_NAMESERVER }).includes(
    `nameserver ${HELPER_NAMESERVER}\n`,
  );
  return isUsed ? [...PASTA, '--dns-forward', HELPER_NAMESERVER] : PASTA;
}

/** The helpers installed here, the better one first: with slirp4netns a step has the same addresses everywhere. */
export function findNetworkHelpers(): readonly NetworkHelper[] {
  return (['slirp4netns', 'pasta'] as const).flatMap((name) => {
    const path = findExecutable(name);
    return path === undefined ? [] : [{ name, path }];
  });
}

/** A network namespace with a helper that works. */
export interface HelpedNamespace {
  readonly helper: NetworkHelper;
  /** Leads to the namespace as long as it has not ended. */
  readonly path: string;
  readonly hasEnded: () => boolean;
  /** Resolves when no process of it is left. */
  end(): Promise<unknown>;
}

/** Resolves when the network can be used; rejects with what the helper said when it ends before. */
export async function startHelper(
  init: InitExecutable,
  helper: NetworkHelper,
  owner?: StepNamespace,
): Promise<HelpedNamespace> {
  const [ready, complaints] = [makePipe(), makePipe()];
  const program = helperProgram(helper, owner);
  let process: InitProcess;
  try {
    process = init.start(program, [ready.writeFd, complaints.writeFd, complaints.writeFd]);
  } catch (error) {
    for (const { readFd } of [ready, complaints]) closeSync(readFd);
    throw error;
  } finally {
    for (const { writeFd } of [ready, complaints]) closeSync(writeFd);
  }
  let isOver = false;
  const over = process.wait().finally(() => {
    isOver = true;
  });
  const said = collect(complaints.readFd);
  const end = async (): Promise<InitOutcome> => {
    process.kill();
    return await over;
  };
  if (!(await firstByte(ready.readFd))) throw new Error(reasonOf(await over, program, await said()));
  return { helper, path: `/proc/${process.pid}/ns/net`, hasEnded: () => isOver, end };
}

function helperProgram(helper: NetworkHelper, owner: StepNamespace | undefined): InitProgram {
  const { name, path } = helper;
  const program = new InitProgram(machineArch());
  const plan = { isTerminal: false, cgroups: new Map<string, string>() };
  const shared: CallResult[] = [];
  const before = (): void => {
    program.purpose('make a network namespace');
    shared.push(program.call('eventfd2', [0, OPEN.cloexec]));
    shared.push(program.call('openat', [AT.cwd, '/proc/self', OPEN.path | OPEN.cloexec]));
  };
  const ends = startProcesses(program, plan, { namespaces: 0, before });
  const [made, supervisor] = shared;
  program.purpose(`start ${path}`);
  program.call('read', [made, program.words([0]), 8]);
  const namespace = program.call('openat', [supervisor, 'ns/net', OPEN.rdonly | OPEN.cloexec]);
  program.call('dup3', [namespace, NAMESPACE_FD, 0]);
  program.call('close_range', [3, NAMESPACE_FD - 1, 0]);
  program.call('close_range', [NAMESPACE_FD + 1, MAX_FD, 0]);
  const env = program.textList(['PATH=/usr/sbin:/usr/bin:/sbin:/bin']);
  program.call('execve', [path, program.textList([name, ...argumentsOf(helper)]), env]);
  writeEnds(program, ends, plan, () => {
    // Only now: nobody but root could go back to the machine's own, where the helper is.
    program.purpose('make a network namespace');
    if (owner !== undefined) {
      const namespace = program.call('openat', [AT.cwd, owner.path, OPEN.rdonly | OPEN.cloexec]);
      program.call('setns', [namespace, CLONE.newUser]);
    }
    program.call('unshare', [CLONE.newNet], { tag: 'namespaces' });
    program.call('write', [made, program.words([1]), 8]);
  });
  return program;
}

function reasonOf(outcome: InitOutcome, program: InitProgram, said: string): string {
  if (outcome.kind === 'failed') {
    const { purpose, call } = program.describe(outcome.recordAddress);
    return `could not ${purpose}: ${call}: ${errnoName(outcome.errno)}`;
  }
  const lines = said.trim().split('\n');
  return lines.findLast((line) => !/^warning/i.test(line)) ?? '';
}

/** Whether anything comes before the end; closes the pipe. */
async function firstByte(fd: number): Promise<boolean> {
  const pipe = new Socket({ fd, readable: true, writable: false });
  return await new Promise((resolve) => {
    pipe.once('data', () => {
      resolve(true);
      pipe.destroy();
    });
    pipe.once('error', () => pipe.destroy());
    pipe.once('close', () => resolve(false));
  });
}

const KEPT_BYTES = 4096;

/** Reads a pipe to its end; the returned function waits for that and gives the last of the text. */
function collect(fd: number): () => Promise<string> {
  const pipe = new Socket({ fd, readable: true, writable: false });
  let text = '';
  pipe.setEncoding('utf8');
  pipe.on('data', (chunk: string) => {
    text = (text + chunk).slice(-KEPT_BYTES);
  });
  pipe.once('error', () => pipe.destroy());
  const closed = new Promise<void>((resolve) => pipe.once('close', () => resolve()));
  return async () => {
    await closed;
    return text;
  };
}
