// A thread of open-store.test.ts: makes the same new stores as its fellows, each at the same moment as they do.
import { parentPort, workerData } from 'node:worker_threads';
import { openStore } from '../../src/store/open-store.ts';

const { roots, threads, arrived } = workerData as { roots: readonly string[]; threads: number; arrived: Int32Array };
const failures: string[] = [];
roots.forEach((root, round) => {
  Atomics.add(arrived, 0, 1);
  while (Atomics.load(arrived, 0) < (round + 1) * threads);
  try {
    openStore(root).close();
  } catch (error) {
    failures.push(String(error));
  }
});
parentPort?.postMessage(failures);
