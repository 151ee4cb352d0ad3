// Starts tsbuild-init with a program and waits for it. The executable and every program live in memory files only.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, readSync, writeSync } from 'node:fs';
import { makeMemoryFile } from '../sys/libc.ts';
import { initImage } from './init-image.ts';
import type { InitProgram } from './init-program.ts';
import { WAIT_STATUS_OFFSET } from './run-program.ts';
import type { MachineArch } from './seccomp.ts';

/** The init's executable, kept open; close it with `close`. */
export class InitExecutable {
  readonly #fd: number;

  constructor(arch: MachineArch) {
    this.#fd = makeMemoryFile('tsbuild-init', { executable: true });
    writeSync(this.#fd, initImage(arch));
  }

  /** Starts a program with these descriptors as standard input, output and error. */
  start(program: InitProgram, stdio: readonly [number, number, number]): InitProcess {
    const image = program.assemble();
    image.writeInt32LE(-1, WAIT_STATUS_OFFSET);
    const fd = makeMemoryFile('tsbuild-run');
    try {
      writeAll(fd, image);
      const child = spawn(`/proc/self/fd/${this.#fd}`, [], { argv0: 'tsbuild-init', stdio: [...stdio, fd], env: {} });
      return new InitProcess(child, fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** How a program ended. */
export type InitOutcome =
  | { readonly kind: 'failed'; readonly recordAddress: number; readonly errno: number }
  | { readonly kind: 'ended'; readonly waitStatus: number }
  | { readonly kind: 'killed'; readonly signal: string };

export class InitProcess {
  readonly #child: ChildProcess;
  readonly #programFd: number;

  constructor(child: ChildProcess, programFd: number) {
    this.#child = child;
    this.#programFd = programFd;
  }

  /** Ends the sandbox at once, with all in it. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Resolves when the supervisor has ended; to be called once. */
  async wait(): Promise<InitOutcome> {
    try {
      const { code, signal } = await new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
        this.#child.once('error', reject);
        this.#child.once('exit', (code, signal) => resolve({ code, signal }));
      });
      return this.#outcome(signal ?? (code === 0 ? undefined : `exit code ${code}`));
    } finally {
      closeSync(this.#programFd);
    }
  }

  /** The program's header says it all, but for a supervisor that was killed. */
  #outcome(abnormal: string | undefined): InitOutcome {
    const header = Buffer.alloc(24);
    readSync(this.#programFd, header, 0, header.length, 0);
    const recordAddress = Number(header.readBigUInt64LE(0));
    if (recordAddress !== 0) {
      return { kind: 'failed', recordAddress, errno: Number(-header.readBigInt64LE(8)) };
    }
    const waitStatus = header.readInt32LE(WAIT_STATUS_OFFSET);
    if (waitStatus === -1) return { kind: 'killed', signal: abnormal ?? 'SIGKILL' };
    return { kind: 'ended', waitStatus };
  }
}

/** Writes all bytes from the start of a file. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
}
