// Where a single user id is mapped the kernel refuses every change to another one. A supervisor then answers the calls
// that ask for one: processes believe to be who they want to be, and who owns a file is written down beside it.
//
// One thread per running step (see pretence-worker.ts). It gets the filter's listener through a socket whose other end
// the sandbox's last process holds until it becomes the command, and it is done when no process has the filter any more.
import { closeSync, existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { makeSocketPair } from '../sys/libc.ts';
import type { PretenceJob, PretenceMachine } from './pretence-worker.ts';
import type { MachineArch } from './seccomp.ts';

/** The supervisor of one step, from before it starts. */
export interface Pretence {
  /** Descriptor for the sandbox to send its listener through. */
  readonly socketFd: number;
  /** To be called once all processes of the sandbox have ended, or none has started: resolves when the supervisor has left it. */
  end(): Promise<void>;
}

/** Threads that wait for a step. They end with this process, and do not keep it. */
const idle: Worker[] = [];

/** Has a thread ready for the first step: to start one takes longer than a step does. */
export function warmPretence(arch: MachineArch): void {
  if (idle.length === 0) idle.push(newThread(arch));
}

/** A supervisor for one step. */
export function startPretence(arch: MachineArch): Pretence {
  const [own, socketFd] = makeSocketPair();
  const worker = idle.pop() ?? newThread(arch);
  const job: PretenceJob = { socketFd: own };
  const ended = new Promise<void>((resolve, reject) => {
    const fail = (error: unknown): void => reject(error instanceof Error ? error : new Error(String(error)));
    worker.once('error', fail);
    worker.once('message', () => {
      worker.off('error', fail);
      worker.unref();
      idle.push(worker);
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

function newThread(arch: MachineArch): Worker {
  const machine: PretenceMachine = { arch };
  const worker = new Worker(workerFile(), { workerData: machine });
  worker.unref();
  // One that fails while it waits is not used; the next one tells the step why.
  worker.on('error', () => {
    const index = idle.indexOf(worker);
    if (index >= 0) idle.splice(index, 1);
  });
  return worker;
}

/** Beside the bundle it is a .js file, beside the sources a .ts file. */
function workerFile(): string {
  const found = ['./pretence-worker.js', './pretence-worker.ts']
    .map((name) => fileURLToPath(new URL(name, import.meta.url)))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error('internal error: the supervisor is not installed');
  return found;
}
