// The steps that make a terminal in the sandbox and hand its other side to the builder.
import type { InitProgram } from './init-program.ts';
import type { RunPlan } from './run-plan.ts';
import { encodeWindowSize } from '../sys/pseudo-terminal.ts';
import { AT, FILE_TYPE, IOCTL, MS, OPEN } from './syscalls.ts';

const SOL_SOCKET = 1n;
const SCM_RIGHTS = 1n;
/** Standard input is the socket to the builder until the terminal takes its place. */
const SOCKET_FD = 0;
/** The first one of new devices. */
const NUMBER = 0;

/** Makes a terminal of the sandbox's own devices the standard streams. Nothing of the step's is mounted by then. */
export function makeTerminal(program: InitProgram, { dev, newTerminal }: RunPlan): void {
  if (newTerminal === undefined) return;
  program.purpose('make a terminal');
  const flags = OPEN.rdwr | OPEN.noctty | OPEN.cloexec;
  const control = program.words([20, SOL_SOCKET | (SCM_RIGHTS << 32n), 0]);
  const storeAt = { dataOffset: control.dataOffset + 16 };
  const master = program.call('openat', [AT.cwd, `${dev}/pts/ptmx`, flags], { storeAt });
  program.call('ioctl', [master, IOCTL.lockTerminal, program.words([0])]);
  const { size } = newTerminal;
  if (size !== undefined) program.call('ioctl', [master, IOCTL.setWindowSize, encodeWindowSize(size)]);
  const path = `${dev}/pts/${NUMBER}`;
  const terminal = program.call('openat', [AT.cwd, path, flags]);
  const vector = program.words([program.text('x'), 1]);
  program.call('sendmsg', [SOCKET_FD, program.words([0, 0, vector, 1, control, 24, 0]), 0]);
  program.call('close', [master]);
  for (const fd of [0, 1, 2]) program.call('dup3', [terminal, fd, 0]);
  program.call('mknodat', [AT.cwd, `${dev}/console`, FILE_TYPE.regular | 0o666, 0]);
  program.call('mount', [path, `${dev}/console`, undefined, MS.bind, undefined]);
}
