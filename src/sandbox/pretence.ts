// Where a single user id is mapped the kernel refuses every change to another one. A supervisor then answers the calls
// that ask for one: processes believe to be who they want to be, and who owns a file is written down beside it.
//
// One thread per running step (see pretence-worker.ts). It gets the filter's listener through a socket whose other end
// the sandbox's last process holds until it becomes the command, and it is done when no process has the filter any more.
import { closeSync, existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { makeSocketPair } from '../sys/libc.ts';
import type { PretenceJob } from './pretence-worker.ts';
import type { MachineArch } from './seccomp.ts';

export interface Pretence {
  /** Descriptor for the sandbox to send its listener through. */
  readonly socketFd: number;
  /** To be called once all processes of the sandbox have ended, or none has started: resolves when the supervisor has left it. */
  end(): Promise<void>;
}

/** The supervisors' threads; idle ones wait for the next step. */
export class PretenceThreads {
  readonly #arch: MachineArch;
  readonly #idle: Worker[] = [];

  constructor(arch: MachineArch) {
    this.#arch = arch;
  }

  /** Has a thread ready for the first step. */
  warm(): void {
    if (this.#idle.length > 0) return;
    const worker = new Worker(workerFile());
    worker.unref();
    this.#idle.push(worker);
  }

  start(): Pretence {
    const [own, socketFd] = makeSocketPair();
    const worker = this.#idle.pop() ?? new Worker(workerFile());
    const job: PretenceJob = { socketFd: own, arch: this.#arch };
    const ended = new Promise<void>((resolve, reject) => {
      const fail = (error: unknown): void => reject(error instanceof Error ? error : new Error(String(error)));
      worker.once('error', fail);
      worker.once('message', () => {
        worker.off('error', fail);
        worker.unref();
        this.#idle.push(worker);
        resolve();
      });
    });
    ended.catch(() => {}); // Whoever calls `end` is told.
    worker.ref();
    worker.postMessage(job);
    return {
      socketFd,
      end: async () => {
        closeSync(socketFd);
        await ended;
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((worker) => worker.terminate()));
  }
}

/** Beside the bundle it is a .js file, beside the sources a .ts file. */
function workerFile(): string {
  const found = ['./pretence-worker.js', './pretence-worker.ts']
    .map((name) => fileURLToPath(new URL(name, import.meta.url)))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error('internal error: the supervisor is not installed');
  return found;
}
