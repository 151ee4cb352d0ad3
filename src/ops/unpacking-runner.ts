// An op runner that brings the files of lazy results here before an op reads them.
import type { CacheMap, ContentSelector, OpRunner, Result, RunContext } from '../../solver/op-runner.ts';
import type { Digest } from '../../solver/digest.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { LazyFetchOptions, LazyLayers } from '../image/lazy-layers.ts';
import { contextNameOf } from './result-trees.ts';

interface UnpackingRunnerPorts {
  readonly inner: OpRunner;
  readonly lazyLayers: Pick<LazyLayers, 'canUnpack' | 'unpackChain'>;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
}

/** Runs what `inner` runs. Merges and differences put stacks together without reading them. */
export class UnpackingRunner implements OpRunner {
  readonly #ports: UnpackingRunnerPorts;

  constructor(ports: UnpackingRunnerPorts) {
    this.#ports = ports;
  }

  cacheMap(vertex: Vertex, context: RunContext): Promise<CacheMap> {
    return this.#ports.inner.cacheMap(vertex, context);
  }

  async contentDigest(
    input: Vertex,
    result: Result,
    selectors: readonly ContentSelector[],
    context: RunContext,
  ): Promise<Digest> {
    await this.#unpack(input, [result], context);
    return await this.#ports.inner.contentDigest(input, result, selectors, context);
  }

  async run(vertex: Vertex, inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    if (vertex.op.kind === 'exec' || vertex.op.kind === 'file') await this.#unpack(vertex, inputs, context);
    return await this.#ports.inner.run(vertex, inputs, context);
  }

  async isAvailable(result: Result): Promise<boolean> {
    if (!(await this.#ports.inner.isAvailable(result))) return false;
    return (
      result.id === undefined || contextNameOf(result) !== undefined || this.#ports.lazyLayers.canUnpack(result.id)
    );
  }

  async #unpack({ digest: vertex }: Vertex, results: readonly Result[], { signal, emit }: RunContext): Promise<void> {
    const { lazyLayers, now } = this.#ports;
    const options: LazyFetchOptions = {
      signal,
      emitProgress: (progress) => emit({ type: 'progress', unit: 'bytes', vertex, timeMs: now(), ...progress }),
      warn: (message) => emit({ type: 'warning', message, vertex, timeMs: now() }),
    };
    for (const result of results) {
      if (result.id !== undefined && contextNameOf(result) === undefined) {
        await lazyLayers.unpackChain(result.id, options);
      }
    }
  }
}
