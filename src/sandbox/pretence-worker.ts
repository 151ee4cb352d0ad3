// The thread that answers for one step at a time, see pretence.ts. While it does so it is in the step's mount namespace,
// so that paths mean to it what they mean to the processes there.
import { parentPort } from 'node:worker_threads';
import { NotifyingCalls } from './notified-calls.ts';
import { PretenceServer } from './pretence-server.ts';
import type { MachineArch } from './seccomp.ts';

export interface PretenceJob {
  /** The thread closes it. */
  readonly socketFd: number;
  readonly arch: MachineArch;
}

let calls: NotifyingCalls | undefined;

function serve({ socketFd, arch }: PretenceJob): void {
  calls ??= new NotifyingCalls(arch);
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
