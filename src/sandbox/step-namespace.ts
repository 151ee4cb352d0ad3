// The user namespace of steps that root runs (`--userns`): their ids are high ones of the machine, which own nothing.
//
// One is made for each executor, by a process that ends at once: an open descriptor keeps it. All mounts of a step are
// made outside of it, by root that has taken on the namespace's root id, on mounts of the store's directories that show
// each id as its high one; so what is on disk has the ids of the image. The last thing before the command is to enter.
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { makePipe } from '../sys/libc.ts';
import type { InitExecutable, InitProcess } from './init-process.ts';
import { type CallResult, type DataReference, InitProgram } from './init-program.ts';
import { machineArch, readText } from './sandbox-host.ts';
import { ID_MAPPING_TAG, setupError } from './setup-error.ts';
import { AT, CLONE, MOUNT_ATTR, OPEN, PRCTL, SECBIT_NO_SETUID_FIXUP, SIGNAL } from './syscalls.ts';
import { parseRanges } from './user-namespace.ts';

/** Ids of the machine: the first, and how many. */
interface IdRange {
  readonly start: number;
  readonly count: number;
}

/** The machine's ids for those inside, from 0. */
export interface StepIds {
  readonly uids: IdRange;
  readonly gids: IdRange;
}

export interface StepNamespace {
  readonly ids: StepIds;
  /** Leads to the namespace until `close`. */
  readonly path: string;
  close(): void;
}

const LEAST_IDS = 65536;
/** What systemd's list of ranges leaves unused. */
const DEFAULT_RANGE: IdRange = { start: 0x7000_0000, count: LEAST_IDS };
const OWNERS: readonly (readonly [name: string, uid: number])[] = [
  ['tsbuild', -1],
  ['containers', -1],
  ['root', 0],
];
/** The id of nobody, for ids that have none. */
const OVERFLOW_ID = 65534;

/** A range set aside for tsbuild, for containers or for root in both files (/etc/subuid, /etc/subgid), or one nobody uses. */
export function chooseStepIds(subuid: string, subgid: string): StepIds {
  const find = (text: string, [name, uid]: (typeof OWNERS)[number]): IdRange | undefined =>
    parseRanges(text, name, uid).find(({ count }) => count >= LEAST_IDS);
  for (const owner of OWNERS) {
    const [uids, gids] = [find(subuid, owner), find(subgid, owner)];
    if (uids !== undefined && gids !== undefined) return { uids, gids };
  }
  return { uids: DEFAULT_RANGE, gids: DEFAULT_RANGE };
}

/** The machine's id for one inside; nobody's where there is none. */
export function hostIDOf(id: number, { start, count }: IdRange): number {
  return id < count ? start + id : OVERFLOW_ID;
}

/** The caller closes it. Throws TSB_SANDBOX_NAMESPACES_DENIED. */
export async function openStepNamespace(init: InitExecutable): Promise<StepNamespace> {
  const ids = chooseStepIds(readText('/etc/subuid') ?? '', readText('/etc/subgid') ?? '');
  const program = makerProgram();
  const [stay, made] = [makePipe(), makePipe()];
  let maker: InitProcess | undefined;
  let fd: number | undefined;
  try {
    try {
      maker = init.start(program, [stay.readFd, made.writeFd, made.writeFd]);
    } finally {
      for (const end of [stay.readFd, made.writeFd]) closeSync(end);
    }
    if (readSync(made.readFd, Buffer.alloc(1)) === 1) fd = mapIds(maker.pid, ids);
  } finally {
    for (const end of [stay.writeFd, made.readFd]) closeSync(end);
  }
  const outcome = await maker.wait();
  if (outcome.kind === 'failed') throw setupError(program.describe(outcome.recordAddress), outcome.errno);
  if (fd === undefined) throw new Error('internal error: no user namespace was made');
  const kept = fd;
  return { ids, path: `/proc/${process.pid}/fd/${kept}`, close: () => closeSync(kept) };
}

/** Makes the namespace, says so, and stays until its standard input ends. */
function makerProgram(): InitProgram {
  const program = new InitProgram(machineArch());
  program.purpose('make a user namespace');
  program.call('prctl', [PRCTL.setParentDeathSignal, SIGNAL.kill]);
  program.call('unshare', [CLONE.newUser], { tag: 'namespaces' });
  program.call('write', [1, '\n', 1]);
  program.call('read', [0, program.words([0]), 8]);
  program.call('exit_group', [0]);
  return program;
}

function mapIds(pid: number, { uids, gids }: StepIds): number {
  writeFileSync(`/proc/${pid}/uid_map`, `0 ${uids.start} ${uids.count}\n`);
  writeFileSync(`/proc/${pid}/gid_map`, `0 ${gids.start} ${gids.count}\n`);
  return openSync(`/proc/${pid}/ns/user`, 'r');
}

/** The namespace inside a program: its descriptor, and how to have a mount show its ids. */
export class StepMapping {
  readonly ids: StepIds;
  readonly #namespace: CallResult;
  readonly #attributes: DataReference;

  constructor(program: InitProgram, { ids, path }: StepNamespace) {
    this.ids = ids;
    this.#attributes = program.words([MOUNT_ATTR.idmap, 0, 0, 0]);
    program.purpose('open the user namespace');
    this.#namespace = program.call('openat', [AT.cwd, path, OPEN.rdonly | OPEN.cloexec], {
      storeAt: { dataOffset: this.#attributes.dataOffset + 3 * 8 },
    });
  }

  /** Namespaces that belong to the user namespace, entered from outside: a child makes them and opens them for both. */
  joinNamespaces(program: InitProgram, namespaces: readonly (readonly [name: string, flag: number])[]): void {
    program.purpose('make namespaces');
    const parent = program.label();
    program.call('clone', [CLONE.files | SIGNAL.chld], { onPositive: parent, tag: 'namespaces' });
    program.call('setns', [this.#namespace, CLONE.newUser]);
    program.call('unshare', [namespaces.reduce((all, [, flag]) => all | flag, 0)], { tag: 'namespaces' });
    const opened = namespaces.map(([name]) =>
      program.call('openat', [AT.cwd, `/proc/self/ns/${name}`, OPEN.rdonly | OPEN.cloexec]),
    );
    program.call('exit_group', [0]);
    program.place(parent);
    program.call('wait4', [-1, undefined, 0, undefined]);
    for (const [index, [, flag]] of namespaces.entries()) {
      program.call('setns', [opened[index], flag]);
      program.call('close', [opened[index]]);
    }
  }

  /** What is made from here on belongs to the namespace's root; the machine's rights stay. */
  becomeRoot(program: InitProgram): void {
    program.purpose("become the user namespace's root");
    program.call('prctl', [PRCTL.setSecureBits, SECBIT_NO_SETUID_FIXUP, 0, 0, 0]);
    const [uid, gid] = [this.ids.uids.start, this.ids.gids.start];
    program.call('setresgid', [gid, gid, gid]);
    program.call('setresuid', [uid, uid, uid]);
  }

  /** Has a detached mount show the namespace's ids. */
  apply(program: InitProgram, tree: CallResult): void {
    program.call('mount_setattr', [tree, '', AT.emptyPath | AT.recursive, this.#attributes, 32], {
      tag: ID_MAPPING_TAG,
    });
  }

  /** Gives up all rights outside; the copies of the mounts cannot be taken apart. */
  enter(program: InitProgram): void {
    program.purpose('enter the user namespace');
    program.call('setns', [this.#namespace, CLONE.newUser]);
    program.call('unshare', [CLONE.newNs], { tag: 'namespaces' });
  }
}
