// Sources of ADD that come over the network, as the op runner asks for them.
import type { Digest } from '../../solver/digest.ts';
import type { SourceOp } from '../../solver/op.ts';
import type { RunContext } from '../../solver/op-runner.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';

/** Files and repositories behind source ops of one kind. */
export interface RemoteSource {
  /** The digest by which the cache knows what the source holds now; the source is asked only when its op does not say. */
  cacheDigest(vertex: Vertex, op: SourceOp, context: RunContext): Promise<Digest>;
  /** A snapshot of the fetched files, on nothing. */
  load(vertex: Vertex, op: SourceOp, context: RunContext): Promise<SnapshotName>;
  /** When it was made, ms since the epoch: a commit, a file on its server; undefined when nothing says so. */
  timeOf(vertex: Vertex, op: SourceOp, context: RunContext): Promise<number | undefined>;
}

/** Which source an op is of; undefined for one that nothing can load. */
export type RemoteSourceOf = (op: SourceOp) => Promise<RemoteSource | undefined>;
