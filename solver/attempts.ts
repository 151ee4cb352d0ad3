// Fail fast, and cleanly: the first failure stops the rest, and the solve ends when nothing of it runs any more.
import { TsbuildError } from './errors.ts';
import type { RunContext } from './op-runner.ts';
import type { EmitEvent } from './progress.ts';
import type { StepLog } from './step-log.ts';
import type { Vertex } from './vertex.ts';

/** Every call of the op runner in one solve. Aborts them all on the first failure, or when `signal` is aborted. */
export class Attempts {
  readonly #controller = new AbortController();
  readonly #pending = new Set<Promise<unknown>>();
  readonly #signal: AbortSignal;
  readonly #emit: EmitEvent;
  readonly #log: StepLog;

  constructor(signal: AbortSignal, emit: EmitEvent, log: StepLog) {
    this.#signal = AbortSignal.any([signal, this.#controller.signal]);
    this.#emit = emit;
    this.#log = log;
  }

  /** Does one thing for the vertex, unless the solve has been stopped; its failure stops the solve. */
  async attempt<Value>(vertex: Vertex, act: (context: RunContext) => Promise<Value>): Promise<Value> {
    this.#signal.throwIfAborted();
    const pending = this.#start(vertex, act);
    this.#pending.add(pending);
    try {
      return await pending;
    } catch (error) {
      throw this.#fail(vertex, error);
    } finally {
      this.#pending.delete(pending);
    }
  }

  /** Waits until nothing runs, after a failure or an interruption; the error the solve ends with. */
  async stop(error: unknown): Promise<unknown> {
    this.#controller.abort(error);
    while (this.#pending.size > 0) await Promise.allSettled([...this.#pending]);
    return this.#signal.reason;
  }

  /** An async function, so that what throws at once rejects as well. */
  async #start<Value>(vertex: Vertex, act: (context: RunContext) => Promise<Value>): Promise<Value> {
    const ignoreCache = vertex.options.ignoreCache === true;
    return await act({ signal: this.#signal, emit: this.#emit, ignoreCache });
  }

  #fail(vertex: Vertex, error: unknown): unknown {
    if (this.#signal.aborted) {
      this.#log.canceled(vertex);
      return error;
    }
    const failure = attributeTo(vertex, error);
    this.#log.failed(vertex, failure instanceof Error ? failure.message : String(failure));
    this.#controller.abort(failure);
    return failure;
  }
}

/** The same error, knowing the vertex it belongs to and what that says of it; a defect (any other error) stays as it is. */
export function attributeTo(vertex: Vertex, error: unknown): unknown {
  if (!(error instanceof TsbuildError) || error.vertex !== undefined) return error;
  const range = error.range ?? vertex.options.range;
  const hint = vertex.options.hintOf?.(error) ?? error.hint;
  return new TsbuildError(error.code, error.message, {
    vertex: vertex.digest,
    exitCode: error.exitCode,
    ...(hint !== undefined && { hint }),
    ...(error.cause !== undefined && { cause: error.cause }),
    ...(range !== undefined && { range }),
  });
}
