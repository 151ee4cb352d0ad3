// The steps by which a sandbox hands the calls that ask for other user ids to a supervisor, see pretence.ts.
import type { CallResult, InitProgram } from './init-program.ts';
import { pretenceFilter } from './pretence-filter.ts';
import type { MachineArch } from './seccomp.ts';
import {
  OPEN,
  SECCOMP_FILTER_FLAG_NEW_LISTENER,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE,
  SECCOMP_SET_MODE_FILTER,
} from './syscalls.ts';

/** Where the builder leaves the socket. */
export const PRETENCE_FD = 5;
/** Where it stays until the command is executed. */
const KEPT_FD = 3;
const SOL_SOCKET = 1n;
const SCM_RIGHTS = 1n;

/** Keeps the socket when all other descriptors are closed; the lowest to be closed. */
export function keepPretenceSocket(program: InitProgram): number {
  program.call('dup3', [PRETENCE_FD, KEPT_FD, OPEN.cloexec]);
  return KEPT_FD + 1;
}

/** Installs the filter and sends its listener; both descriptors are closed when the command is executed. */
export function startPretence(program: InitProgram, arch: MachineArch): void {
  program.purpose('have user ids pretended');
  const filter = pretenceFilter(arch);
  const fprog = program.words([filter.length / 8, program.bytes(filter)]);
  const control = program.words([20, SOL_SOCKET | (SCM_RIGHTS << 32n), 0]);
  const storeAt = { dataOffset: control.dataOffset + 16 };
  const install = (flags: number, options = {}): CallResult =>
    program.call('seccomp', [SECCOMP_SET_MODE_FILTER, flags, fprog], { storeAt, ...options });
  program.attempt(
    (onError) => install(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE, { onError }),
    () => install(SECCOMP_FILTER_FLAG_NEW_LISTENER),
  );
  const vector = program.words([program.text('x'), 1]);
  program.call('sendmsg', [KEPT_FD, program.words([0, 0, vector, 1, control, 24, 0]), 0]);
}
