// The thread that answers for one step at a time, see pretence.ts. While it does so it is in the step's mount namespace,
// so that paths mean to it what they mean to the processes there.
import { parentPort, workerData } from 'node:worker_threads';
import { NotifyingCalls } from './notified-calls.ts';
import { PretenceServer } from './pretence-server.ts';
import type { MachineArch } from './seccomp.ts';

/** What the thread is told when it is made. */
export interface PretenceMachine {
  readonly arch: MachineArch;
}

/** One step; jobs come one at a time. */
export interface PretenceJob {
  /** The thread closes it. */
  readonly socketFd: number;
}

const { arch } = workerData as PretenceMachine;
const calls = new NotifyingCalls(arch);

function serve({ socketFd }: PretenceJob): void {
  const listenerFd = calls.receiveListener(socketFd);
  if (listenerFd === undefined) return;
  try {
    new PretenceServer(calls, listenerFd).serve();
  } finally {
    calls.close(listenerFd);
    calls.leave();
  }
}

parentPort?.on('message', (job: PretenceJob) => {
  serve(job);
  parentPort?.postMessage('ended');
});
