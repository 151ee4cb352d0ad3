// Joins the user's terminal with the one a process is given: keys one way, output the other, and the window's size.
import { closeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { makeRaw, openPseudoTerminal, setWindowSize, type WindowSize } from '../sys/pseudo-terminal.ts';

interface TerminalStreams {
  /** Absent: nothing is typed. */
  readonly stdin: NodeJS.ReadStream | undefined;
  readonly stdout: NodeJS.WriteStream;
}

interface JoinedTerminal {
  /** Of the user's window; undefined without one. */
  readonly size: WindowSize | undefined;
  /** To be given the other side of the process's terminal, and closes it. */
  readonly onMaster: (masterFd: number) => void;
  /** As if the user had typed it. */
  readonly type: (keys: string) => void;
  /** Resolves when all output has been passed on; to be called once the process has ended. Gives the user's terminal back. */
  readonly finish: () => Promise<void>;
}

interface AttachedTerminal extends Pick<JoinedTerminal, 'finish' | 'type'> {
  /** For the process. */
  readonly terminalFd: number;
}

/** A terminal of this machine's for the process; Ctrl-C and all other keys go there from here on. */
export function attachTerminal(streams: TerminalStreams): AttachedTerminal {
  const { masterFd, terminalFd } = openPseudoTerminal();
  const joined = joinTerminal(streams);
  joined.onMaster(masterFd);
  return {
    terminalFd,
    type: joined.type,
    finish: async () => {
      closeSync(terminalFd);
      await joined.finish();
    },
  };
}

/** Ctrl-C and all other keys wait from here on for the process's terminal. */
export function joinTerminal({ stdin, stdout }: TerminalStreams): JoinedTerminal {
  const sizeOf = ({ columns, rows }: WindowSize): WindowSize => ({ columns, rows });
  const restore = takeTerminal(stdin, stdout);
  let resize = (): void => {};
  let type = (_keys: string): void => {};
  let ended: Promise<void> | undefined;
  return {
    size: stdout.isTTY ? sizeOf(stdout) : undefined,
    onMaster: (masterFd) => {
      const master = new ReadStream(masterFd);
      type = (keys) => master.write(keys);
      resize = () => setWindowSize(masterFd, sizeOf(stdout));
      if (stdout.isTTY) resize();
      stdout.on('resize', resize);
      ended = new Promise((resolve) => {
        master.once('error', () => master.destroy()); // The kernel's way to say that nobody has the terminal any more.
        master.once('close', () => resolve());
      });
      // To the process it is as if the window had been closed.
      stdout.once('error', () => master.destroy());
      master.pipe(stdout, { end: false });
      stdin?.pipe(master, { end: false });
    },
    type: (keys) => type(keys),
    finish: async () => {
      await ended;
      stdout.off('resize', resize);
      restore();
      stdin?.destroy();
    },
  };
}

const STDIN_FD = 0;
const STDOUT_FD = 1;

/** Every key reaches the process, and its output is shown as it is; undone by what is returned, and when tsbuild exits. */
function takeTerminal(stdin: NodeJS.ReadStream | undefined, stdout: NodeJS.WriteStream): () => void {
  const [fd, keys] = stdin?.isTTY === true ? [STDIN_FD, true] : [STDOUT_FD, false];
  if (!keys && !stdout.isTTY) return () => {};
  const undo = makeRaw(fd, { keys });
  process.once('exit', undo);
  return () => {
    process.off('exit', undo);
    undo();
  };
}
