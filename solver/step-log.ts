// Tells what became of each vertex, once: a vertex is either cached, or started and then completed, failed or canceled.
import type { Digest } from './digest.ts';
import type { EmitEvent } from './progress.ts';
import type { Vertex } from './vertex.ts';

/** The state of every vertex that something was told about. `now` gives UTC ms since the epoch. */
export class StepLog {
  readonly #emit: EmitEvent;
  readonly #now: () => number;
  readonly #states = new Map<Digest, 'started' | 'ended'>();

  constructor(emit: EmitEvent, now: () => number) {
    this.#emit = emit;
    this.#now = now;
  }

  /** True once anything was told about the vertex. */
  has(vertex: Vertex): boolean {
    return this.#states.has(vertex.digest);
  }

  started(vertex: Vertex): void {
    if (this.#states.get(vertex.digest) === 'started') return;
    this.#states.set(vertex.digest, 'started');
    this.#emit({ ...this.#head(vertex), type: 'started', name: vertex.options.name });
  }

  cached(vertex: Vertex, resultID?: string): void {
    if (this.has(vertex)) return;
    this.#states.set(vertex.digest, 'ended');
    const result = resultID === undefined ? {} : { resultID };
    this.#emit({ ...this.#head(vertex), type: 'cached', name: vertex.options.name, ...result });
  }

  completed(vertex: Vertex): void {
    this.#states.set(vertex.digest, 'ended');
    this.#emit({ ...this.#head(vertex), type: 'completed' });
  }

  /** A vertex may fail before it runs, when its key cannot be computed; it counts as started then. */
  failed(vertex: Vertex, message: string): void {
    this.started(vertex);
    this.#states.set(vertex.digest, 'ended');
    this.#emit({ ...this.#head(vertex), type: 'failed', message });
  }

  /** Only a vertex that was started can be canceled. */
  canceled(vertex: Vertex): void {
    if (this.#states.get(vertex.digest) !== 'started') return;
    this.#states.set(vertex.digest, 'ended');
    this.#emit({ ...this.#head(vertex), type: 'canceled' });
  }

  #head(vertex: Vertex): { readonly timeMs: number; readonly vertex: Digest } {
    return { timeMs: this.#now(), vertex: vertex.digest };
  }
}
