// An op runner that tells of each committed result, so that others can begin to work on it while the build goes on.
import type { Digest } from '../../solver/digest.ts';
import type { CacheMap, ContentSelector, LoadRequest, OpRunner, Result, RunContext } from '../../solver/op-runner.ts';
import type { Vertex } from '../../solver/vertex.ts';

/** Runs what `inner` runs. */
export class FollowingRunner implements OpRunner {
  readonly #inner: OpRunner;
  readonly #onResults: (vertex: Vertex, results: readonly Result[]) => void;

  constructor(inner: OpRunner, onResults: (vertex: Vertex, results: readonly Result[]) => void) {
    this.#inner = inner;
    this.#onResults = onResults;
  }

  cacheMap(vertex: Vertex, context: RunContext): Promise<CacheMap> {
    return this.#inner.cacheMap(vertex, context);
  }

  contentDigest(
    input: Vertex,
    result: Result,
    selectors: readonly ContentSelector[],
    context: RunContext,
  ): Promise<Digest> {
    return this.#inner.contentDigest(input, result, selectors, context);
  }

  async run(vertex: Vertex, inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    const results = await this.#inner.run(vertex, inputs, context);
    this.#onResults(vertex, results);
    return results;
  }

  isAvailable(result: Result): Promise<boolean> {
    return this.#inner.isAvailable(result);
  }

  isAway(result: Result): boolean {
    return this.#inner.isAway(result);
  }

  load(request: LoadRequest, context: RunContext): Promise<boolean> {
    return this.#inner.load(request, context);
  }
}
