// The thread that digests layers while the next step runs; started by diff-service.ts. Answers jobs one after another.
import { parentPort } from 'node:worker_threads';
import { TsbuildError } from '../../solver/errors.ts';
import type { LayerSum } from '../snapshot/snapshotter.ts';
import { computeDiffID, type SnapshotDirs } from './layer-tar.ts';

/** What the thread is sent; `id` comes back with the answer. */
export interface DiffJob {
  readonly id: number;
  readonly dirs: SnapshotDirs;
}

/** An error as it passes between threads, which take no classes along. */
export interface DiffFailure {
  /** A TsbuildError's code, or undefined for a defect. */
  readonly code: string | undefined;
  readonly message: string;
}

/** One for each job, in their order. */
export type DiffAnswer =
  | { readonly id: number; readonly sum: LayerSum }
  | { readonly id: number; readonly failure: DiffFailure };

function answer({ id, dirs }: DiffJob): DiffAnswer {
  try {
    return { id, sum: computeDiffID(dirs) };
  } catch (error) {
    const code = error instanceof TsbuildError ? error.code : undefined;
    return { id, failure: { code, message: error instanceof Error ? error.message : String(error) } };
  }
}

parentPort?.on('message', (job: DiffJob) => parentPort?.postMessage(answer(job)));
