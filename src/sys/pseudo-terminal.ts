// Pseudo-terminals: a pair of descriptors of which one is a terminal for somebody else.
import { closeSync, constants, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { SystemCallError } from './libc.ts';

const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;
const TIOCSWINSZ = 0x5414;
const { O_RDWR, O_NOCTTY } = constants;
const O_CLOEXEC = 0o2000000;

interface PseudoTerminal {
  /** What is written here is typed there, and what is shown there is read here. */
  readonly masterFd: number;
  /** The terminal: becomes standard input, output and error of a process. The caller closes both. */
  readonly terminalFd: number;
}

type Ioctl = (fd: number, request: number, ...argument: readonly [type: string, value: number | Buffer]) => number;

function bindIoctl(): { readonly ioctl: Ioctl; readonly errno: () => number } {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  return { ioctl: koffi.load('libc.so.6').func('int ioctl(int fd, unsigned long request, ...)'), errno: koffi.errno };
}

/** Opens a new one. Throws SystemCallError. */
export function openPseudoTerminal(): PseudoTerminal {
  const { ioctl, errno } = bindIoctl();
  const masterFd = openSync('/dev/ptmx', O_RDWR | O_NOCTTY | O_CLOEXEC);
  ioctl(masterFd, TIOCSPTLCK, 'void *', Buffer.alloc(4));
  const terminalFd = ioctl(masterFd, TIOCGPTPEER, 'int', O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminalFd >= 0) return { masterFd, terminalFd };
  const error = new SystemCallError('ioctl TIOCGPTPEER', errno(), '/dev/ptmx');
  closeSync(masterFd);
  throw error;
}

/** In characters. */
export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
}

/** Tells the processes on the terminal its size. */
export function setWindowSize(fd: number, size: WindowSize): void {
  bindIoctl().ioctl(fd, TIOCSWINSZ, 'void *', encodeWindowSize(size));
}

/** The kernel's struct winsize. */
export function encodeWindowSize({ columns, rows }: WindowSize): Buffer {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  return size;
}

const TCSADRAIN = 1;
/** Larger than any struct termios. */
const TERMIOS_BYTES = 256;
const OUTPUT_FLAGS_OFFSET = 4;
const OPOST = 1;

/**
 * Has a terminal show bytes as they are, and with `keys` also pass every key on as it is, which Node's raw mode does to keys
 * alone. Returns what sets it back.
 */
export function makeRaw(fd: number, { keys }: { readonly keys: boolean }): () => void {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const library = koffi.load('libc.so.6');
  const set = library.func('int tcsetattr(int fd, int when, const void *settings)');
  const settings = Buffer.alloc(TERMIOS_BYTES);
  if (library.func('int tcgetattr(int fd, _Out_ void *settings)')(fd, settings) !== 0) return () => {};
  const raw = Buffer.from(settings);
  if (keys) library.func('void cfmakeraw(_Inout_ void *settings)')(raw);
  else raw.writeUInt32LE((raw.readUInt32LE(OUTPUT_FLAGS_OFFSET) & ~OPOST) >>> 0, OUTPUT_FLAGS_OFFSET);
  set(fd, TCSADRAIN, raw);
  return () => set(fd, TCSADRAIN, settings);
}
