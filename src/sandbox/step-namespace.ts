// The user namespace of steps that root runs (`--userns`): their ids are high ones of the machine, which own nothing.
//
// One is made for each executor, by a process that ends at once: an open descriptor keeps it. All mounts of a step are
// made outside of it, by root that has taken on the namespace's root id, on mounts of the store's directories that show
// each id as its high one; so what is on disk has the ids of the image. The last thing before the command is to enter.
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { makePipe } from '../sys/libc.ts';
import type { InitExecutable, InitProcess } from './init-process.ts';
import { InitProgram } from './init-program.ts';
import { machineArch, readText } from './sandbox-host.ts';
import { setupError } from './setup-error.ts';
import type { IdRange, StepIds, StepNamespace } from './step-mapping.ts';
import { CLONE, PRCTL, SIGNAL } from './syscalls.ts';
import { parseRanges } from './user-namespace.ts';

const LEAST_IDS = 65536;
/** What systemd's list of ranges leaves unused. */
const DEFAULT_RANGE: IdRange = { start: 0x7000_0000, count: LEAST_IDS };
const OWNERS: readonly (readonly [name: string, uid: number])[] = [
  ['tsbuild', -1],
  ['containers', -1],
  ['root', 0],
];
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
