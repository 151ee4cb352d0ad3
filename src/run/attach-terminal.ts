// Joins the user's terminal with the one a process is given: keys one way, output the other, and the window's size.
import { closeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { openPseudoTerminal, setWindowSize } from '../sys/pseudo-terminal.ts';

export interface TerminalStreams {
  /** Absent: nothing is typed. */
  readonly stdin: NodeJS.ReadStream | undefined;
  readonly stdout: NodeJS.WriteStream;
}

export interface AttachedTerminal {
  /** For the process. */
  readonly terminalFd: number;
  /** Resolves when all output has been passed on; to be called once the process has ended. Gives the terminal back. */
  finish(): Promise<void>;
}

/** Ctrl-C and all other keys go to the process from here on. */
export function attachTerminal({ stdin, stdout }: TerminalStreams): AttachedTerminal {
  const { masterFd, terminalFd } = openPseudoTerminal();
  const master = new ReadStream(masterFd);
  const resize = (): void => {
    const { columns, rows } = stdout;
    if (stdout.isTTY) setWindowSize(masterFd, { columns, rows });
  };
  const ended = new Promise<void>((resolve) => {
    master.once('error', () => master.destroy()); // The kernel's way to say that nobody has the terminal any more.
    master.once('close', () => resolve());
  });
  const isRaw = stdin?.isTTY === true;
  resize();
  stdout.on('resize', resize);
  master.on('data', (bytes: Buffer) => stdout.write(bytes));
  if (isRaw) stdin.setRawMode(true);
  stdin?.on('data', (bytes: Buffer) => master.write(bytes));
  return {
    terminalFd,
    finish: async () => {
      closeSync(terminalFd);
      await ended;
      stdout.off('resize', resize);
      if (isRaw) stdin.setRawMode(false);
      stdin?.destroy();
    },
  };
}
