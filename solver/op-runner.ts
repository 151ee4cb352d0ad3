// The port through which the solver asks the world what an op is worth to the cache, and has it run.
//
// Words. A *cache map* is what an op contributes to keys: a digest that stands for the op itself, and for each input
// how that input counts. An input counts by *definition* (the key of the vertex that made it, with a selector) and,
// when `contentSelectors` is given, also by *content* (a digest of the selected files of its result). A *result* is
// one output of a run: the name of a committed snapshot, or the empty tree.
//
// Worked example. `COPY foo /dst/` has two inputs: the base, which counts by definition only, and the build context,
// which counts by content of `/foo`. When the definition key misses, the solver solves input 1, asks `contentDigest`
// for `/foo`, and looks the content key up; only when that misses too is `run` called.
import type { Digest } from './digest.ts';
import type { SolveEvent } from './progress.ts';
import type { Vertex } from './vertex.ts';

/** A set of paths of an input, hashed as `contentDigest` says. */
export interface ContentSelector {
  /** Path inside the input, absolute. */
  readonly path: string;
  readonly wildcard: boolean;
  readonly followLinks: boolean;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  /** Whole paths, below `path`, that must exist: one that does not is an error, not an empty match. */
  readonly requiredPaths?: readonly string[];
}

/** How one input counts; without either field by the definition of its vertex alone. */
export interface CacheMapInput {
  /** Joined to the input's definition key; undefined contributes no selector. */
  readonly selector?: Digest;
  /** When present, the input's content is an alternative key (sorted and deduplicated by the op runner). */
  readonly contentSelectors?: readonly ContentSelector[];
}

/** See the essay above and `cacheMap` in BuildKit's solver/types.go. */
export interface CacheMap {
  readonly digest: Digest;
  /** Further digests that name the same result, such as an image's chainID beside its manifest digest. */
  readonly alternatives?: readonly Digest[];
  readonly inputs: readonly CacheMapInput[];
  /** True for a source whose definition says nothing about its bytes (a local directory): no record under its own key. */
  readonly isVolatile?: boolean;
}

/** One output of a vertex. `id` is the committed snapshot's name, or undefined for the empty tree. */
export interface Result {
  readonly id: string | undefined;
}

/** What a call is given of the solve it belongs to; it ends early when the signal is aborted. */
export interface RunContext {
  readonly signal: AbortSignal;
  readonly emit: (event: SolveEvent) => void;
  readonly ignoreCache: boolean;
}

/** A result that an op is about to get. */
export interface LoadRequest {
  readonly result: Result;
  readonly reader: Vertex;
  /** True for a record's result: the solver can have it made anew. */
  readonly isRecord: boolean;
}

/** Implemented in src/ops; every method may be called for several vertices at once and bounds its own leaf work. */
export interface OpRunner {
  cacheMap(vertex: Vertex, context: RunContext): Promise<CacheMap>;
  /** The content digest of the selected paths of an input's result; `input` is the vertex that made it. */
  contentDigest(
    input: Vertex,
    result: Result,
    selectors: readonly ContentSelector[],
    context: RunContext,
  ): Promise<Digest>;
  /** Runs the op and returns one committed result for each output. The caller saves the record. */
  run(vertex: Vertex, inputs: readonly Result[], context: RunContext): Promise<readonly Result[]>;
  /** False when the result's bytes are gone, so that its record must not be used. */
  isAvailable(result: Result): Promise<boolean>;
  /** True for a result that is not available and may be in a later build: its record is kept. */
  isAway(result: Result): boolean;
  /**
   * Brings here what the reader reads of the result. False when its bytes cannot be had from where they were promised to
   * be: it is not available from then on, and the solver has it made anew. Rejects where that is no way out.
   */
  load(request: LoadRequest, context: RunContext): Promise<boolean>;
}
