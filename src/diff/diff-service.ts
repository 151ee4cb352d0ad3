// DiffIDs in the background: small layers are digested at once in the caller's thread (a thread costs more to start), the
// others in one worker thread that starts on the first of them and lets the process end when it is idle.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { TsbuildError } from '../../solver/errors.ts';
import type { LayerSum } from '../snapshot/snapshotter.ts';
import type { DiffAnswer, DiffFailure, DiffJob } from './diff-worker.ts';
import { computeDiffID, computeDiffIDWithin, type SnapshotDirs } from './layer-tar.ts';

/** One for a build, which closes it. Nothing is remembered: asking twice for a layer digests it twice. */
export interface DiffService {
  /** The digest and length of a committed snapshot's layer. Throws TSB_LAYER_UNREPRESENTABLE. */
  diffID(dirs: SnapshotDirs): Promise<LayerSum>;
  /** Ends the thread; what is still pending fails. Idempotent. */
  close(): Promise<void>;
}

interface DiffServiceOptions {
  /** Layers up to this length are digested in the caller's thread. Default 1 MiB. */
  readonly inlineBytes?: number;
}

interface Pending {
  readonly resolve: (sum: LayerSum) => void;
  readonly reject: (error: Error) => void;
}

const INLINE_BYTES = 1 << 20;

/** The caller closes it. */
export function createDiffService(options: DiffServiceOptions = {}): DiffService {
  return new ThreadedDiffService(options.inlineBytes ?? INLINE_BYTES);
}

class ThreadedDiffService implements DiffService {
  readonly #inlineBytes: number;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #lastID = 0;

  constructor(inlineBytes: number) {
    this.#inlineBytes = inlineBytes;
  }

  async diffID(dirs: SnapshotDirs): Promise<LayerSum> {
    const small = computeDiffIDWithin(dirs, this.#inlineBytes);
    if (small !== undefined) return small;
    this.#worker ??= this.#start();
    const worker = this.#worker;
    if (worker === undefined) return computeDiffID(dirs);
    const { promise, resolve, reject } = Promise.withResolvers<LayerSum>();
    const job: DiffJob = { id: ++this.#lastID, dirs };
    this.#pending.set(job.id, { resolve, reject });
    worker.ref();
    worker.postMessage(job);
    return promise;
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#failAll(new Error('the diff service was closed'));
    await worker?.terminate();
  }

  #start(): Worker | undefined {
    const file = workerFile();
    if (file === undefined) return undefined;
    const worker = new Worker(file);
    worker.on('message', (answer: DiffAnswer) => this.#settle(worker, answer));
    worker.on('error', (error) => {
      this.#worker = undefined;
      this.#failAll(error instanceof Error ? error : new Error(String(error)));
    });
    return worker;
  }

  #settle(worker: Worker, answer: DiffAnswer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if (this.#pending.size === 0) worker.unref();
    if ('sum' in answer) pending?.resolve(answer.sum);
    else pending?.reject(toError(answer.failure));
  }

  #failAll(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

function toError({ code, message }: DiffFailure): Error {
  return code === undefined ? new Error(message) : new TsbuildError(code, message);
}

/** Beside the bundle it is a .js file, beside the sources a .ts file. */
function workerFile(): string | undefined {
  return ['./diff-worker.js', './diff-worker.ts']
    .map((name) => fileURLToPath(new URL(name, import.meta.url)))
    .find((path) => existsSync(path));
}
