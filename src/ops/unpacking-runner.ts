// An op runner that brings the files of lazy results here before an op reads them.
import type { CacheMap, ContentSelector, LoadRequest, OpRunner, Result, RunContext } from '../../solver/op-runner.ts';
import type { Digest } from '../../solver/digest.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { LazyFetchOptions, LazyLayers } from '../image/lazy-layers.ts';
import type { LostLayers } from '../image/lost-layers.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import { contextNameOf } from './result-trees.ts';

interface UnpackingRunnerPorts {
  readonly inner: OpRunner;
  readonly lazyLayers: Pick<LazyLayers, 'canUnpack' | 'lossOf' | 'unpackChain'>;
  readonly lost: LostLayers;
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

  contentDigest(
    input: Vertex,
    result: Result,
    selectors: readonly ContentSelector[],
    context: RunContext,
  ): Promise<Digest> {
    return this.#ports.inner.contentDigest(input, result, selectors, context);
  }

  run(vertex: Vertex, inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    return this.#ports.inner.run(vertex, inputs, context);
  }

  async isAvailable(result: Result): Promise<boolean> {
    if (!(await this.#ports.inner.isAvailable(result))) return false;
    const id = snapshotOf(result);
    return id === undefined || this.#ports.lazyLayers.canUnpack(id);
  }

  isAway(result: Result): boolean {
    const id = snapshotOf(result);
    return id !== undefined && this.#ports.lazyLayers.lossOf(id)?.isAway === true;
  }

  async load({ result, reader, isRecord }: LoadRequest, context: RunContext): Promise<boolean> {
    const id = snapshotOf(result);
    if (id === undefined) return true;
    if (isRecord && this.#isLost(id)) return false;
    if (reader.op.kind !== 'exec' && reader.op.kind !== 'file') return true;
    try {
      await this.#unpack(reader, id, context);
      return true;
    } catch (error) {
      if (!isRecord || context.signal.aborted || !this.#isLost(id)) throw error;
      return false;
    }
  }

  /** Says so, when it is. */
  #isLost(id: SnapshotName): boolean {
    const { lazyLayers, lost } = this.#ports;
    const loss = lazyLayers.lossOf(id);
    if (loss !== undefined) lost.tell(loss.place, loss.error);
    return loss !== undefined;
  }

  async #unpack({ digest: vertex }: Vertex, id: SnapshotName, { signal, emit }: RunContext): Promise<void> {
    const { lazyLayers, now } = this.#ports;
    const options: LazyFetchOptions = {
      signal,
      emitProgress: (progress) => emit({ type: 'progress', unit: 'bytes', vertex, timeMs: now(), ...progress }),
      warn: (message) => emit({ type: 'warning', message, vertex, timeMs: now() }),
    };
    await lazyLayers.unpackChain(id, options);
  }
}

/** Undefined for the empty tree and for build contexts. */
function snapshotOf(result: Result): SnapshotName | undefined {
  return contextNameOf(result) === undefined ? result.id : undefined;
}
