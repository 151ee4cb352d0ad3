// What to say of a program that the kernel cannot run because it is for another machine.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { posix } from 'node:path';
import { DEFAULT_PATH } from '../../frontend/image-config.ts';
import type { StackLookup } from '../sandbox/stack-lookup.ts';
import { toFsPath } from '../sys/path-bytes.ts';

/** e_machine of ELF files: the architecture as platforms name it, and the name of its emulator. */
const MACHINES: Readonly<Record<number, readonly [architecture: string, emulator: string]>> = {
  3: ['386', 'i386'],
  8: ['mips64', 'mips64'],
  21: ['ppc64le', 'ppc64le'],
  22: ['s390x', 's390x'],
  40: ['arm', 'arm'],
  62: ['amd64', 'x86_64'],
  183: ['arm64', 'aarch64'],
  243: ['riscv64', 'riscv64'],
  258: ['loong64', 'loongarch64'],
};
const MACHINE_OFFSET = 18;
const MACHINES_OF_NODE: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** How the step named its program. */
interface ProgramName {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
}

/** Names the architecture and the way to emulation; undefined when the program is not an ELF file of another machine. */
export function foreignProgramHint(stack: StackLookup, program: ProgramName): string | undefined {
  const [architecture, emulator] = MACHINES[machineOf(stack, program) ?? 0] ?? [];
  const own = MACHINES_OF_NODE[process.arch] ?? process.arch;
  if (architecture === undefined || architecture === own) return undefined;
  return (
    `"${program.args[0]}" is a program for linux/${architecture}, this machine is linux/${own}: build with --platform linux/${own}, ` +
    `or install emulation (as root: apt-get install qemu-user-static binfmt-support), which adds /proc/sys/fs/binfmt_misc/qemu-${emulator}`
  );
}

function machineOf(stack: StackLookup, { args, env, cwd }: ProgramName): number | undefined {
  const [name = ''] = args;
  const path = env.find((entry) => entry.startsWith('PATH='))?.slice(5) ?? DEFAULT_PATH;
  const directories = name.includes('/') ? [cwd] : path.split(':');
  for (const directory of directories) {
    const found = stack.find(posix.resolve('/', directory, name));
    if (found?.stat.isFile() === true) return readMachine(found.hostPath);
  }
  return undefined;
}

function readMachine(hostPath: string): number | undefined {
  const fd = openSync(toFsPath(hostPath), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const header = Buffer.alloc(MACHINE_OFFSET + 2);
    readSync(fd, header, 0, header.length, 0);
    if (header.toString('latin1', 0, 4) !== '\x7fELF') return undefined;
    return header[5] === 2 ? header.readUInt16BE(MACHINE_OFFSET) : header.readUInt16LE(MACHINE_OFFSET);
  } finally {
    closeSync(fd);
  }
}
