// What the solver tells of a vertex that it found in no record.
import type { Digest } from './digest.ts';
import type { CacheMap, Result } from './op-runner.ts';
import type { Vertex } from './vertex.ts';

/** A vertex that is about to run, and what it was looked up by. */
export interface Miss {
  readonly vertex: Vertex;
  readonly cacheMap: CacheMap;
  readonly inputs: readonly MissInput[];
}

/** An input of the vertex as it was solved, whether it came from a record or from a run. */
export interface MissInput {
  /** The vertex that made it. */
  readonly vertex: Vertex;
  readonly result: Result;
  /** Digest of the selected content; undefined when it counts by definition only. */
  readonly content: Digest | undefined;
  /** True when its vertex ran in this solve. */
  readonly hasRun: boolean;
}
