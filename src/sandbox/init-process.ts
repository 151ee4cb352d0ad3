// Starts tsbuild-init with a program and waits for it. The executable and every program live in memory files only.
import { closeSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { makeMemoryFile, makePipe } from '../sys/libc.ts';
import { spawnProcess, waitForProcess } from '../sys/spawn-process.ts';
import { writeAllAt } from '../sys/write-all.ts';
import { initImage } from './init-image.ts';
import type { InitProgram } from './init-program.ts';
import { WAIT_STATUS_OFFSET } from './run-program.ts';
import type { MachineArch } from './seccomp.ts';

/** Of the executable, as far as there is one. */
export const INIT_NAME = 'tsbuild-init';

/** The init's executable, kept open; close it with `close`. */
export class InitExecutable {
  readonly #fd: number;

  constructor(arch: MachineArch) {
    this.#fd = makeMemoryFile(INIT_NAME, { executable: true });
    writeAllAt(this.#fd, initImage(arch), 0);
  }

  /** Starts a program with these descriptors as standard input, output and error, and perhaps one behind its own. */
  start(program: InitProgram, stdio: readonly [number, number, number], extraFd?: number): InitProcess {
    const image = program.assemble();
    image.writeInt32LE(-1, WAIT_STATUS_OFFSET);
    const programFd = makeMemoryFile('tsbuild-run');
    const lifeline = makePipe();
    try {
      writeAllAt(programFd, image, 0);
      const path = `/proc/self/fd/${this.#fd}`;
      const fds = [...stdio, programFd, lifeline.writeFd, ...(extraFd === undefined ? [] : [extraFd])];
      const pid = spawnProcess({ path, argv: [INIT_NAME], env: [], fds });
      return new InitProcess(pid, programFd, lifeline.readFd);
    } catch (error) {
      closeSync(programFd);
      closeSync(lifeline.readFd);
      throw error;
    } finally {
      closeSync(lifeline.writeFd);
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
  | { readonly kind: 'killed'; readonly signal: number };

/** A running supervisor. It alone holds the other end of the lifeline, so the lifeline's end is its own. */
export class InitProcess {
  readonly #pid: number;
  readonly #programFd: number;
  readonly #ended: Promise<void>;
  #isReaped = false;

  constructor(pid: number, programFd: number, lifelineFd: number) {
    this.#pid = pid;
    this.#programFd = programFd;
    const lifeline = new Socket({ fd: lifelineFd, readable: true, writable: false });
    this.#ended = new Promise((resolve) => lifeline.once('close', () => resolve()));
    lifeline.once('error', () => lifeline.destroy());
    lifeline.resume();
  }

  /** Of the supervisor; nobody else's as long as `wait` has not resolved. */
  get pid(): number {
    return this.#pid;
  }

  /** Has the supervisor kill everything and end when nothing is left. */
  kill(): void {
    if (!this.#isReaped) process.kill(this.#pid, 'SIGTERM');
  }

  /** False once `wait` has resolved: the pid may be somebody else's then. */
  get isRunning(): boolean {
    return !this.#isReaped;
  }

  /** Resolves when the supervisor has ended; to be called once. */
  async wait(): Promise<InitOutcome> {
    await this.#ended;
    try {
      const status = waitForProcess(this.#pid);
      this.#isReaped = true;
      return this.#outcome(status);
    } finally {
      closeSync(this.#programFd);
    }
  }

  /** The program's header says it all, but for a supervisor that was killed. */
  #outcome(supervisorStatus: number): InitOutcome {
    const header = Buffer.alloc(24);
    readSync(this.#programFd, header, 0, header.length, 0);
    const recordAddress = Number(header.readBigUInt64LE(0));
    if (recordAddress !== 0) {
      return { kind: 'failed', recordAddress, errno: Number(-header.readBigInt64LE(8)) };
    }
    const waitStatus = header.readInt32LE(WAIT_STATUS_OFFSET);
    if (waitStatus === -1) return { kind: 'killed', signal: supervisorStatus & 0x7f };
    return { kind: 'ended', waitStatus };
  }
}
