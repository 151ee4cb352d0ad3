// A vertex is an op with its inputs. Its digest names what it is; its options say how to show and run it and are never digested.
import type { Digest } from './digest.ts';
import type { SourceRange, TsbuildError } from './errors.ts';
import type { Op } from './op.ts';

/** How to show and run a vertex. Never digested: two that differ in nothing else are one. */
export interface VertexOptions {
  /** The line progress shows, such as `[build 2/4] RUN npm ci`. */
  readonly name: string;
  readonly range?: SourceRange;
  /** Run it even when a cache record matches; the result is saved all the same. */
  readonly ignoreCache?: boolean;
  /** What of the caller's wishes asks for that, in his words; absent when he wishes it for every step. */
  readonly ignoredFor?: string;
  readonly progressGroup?: { readonly id: string; readonly name: string };
  /** What the way the step was written tells of its failure; where there is something, the error's own hint gives way. */
  readonly hintOf?: (error: TsbuildError) => string | undefined;
}

/** Output `index` of a vertex. */
export interface Edge {
  readonly vertex: Vertex;
  readonly index: number;
}

/** A node of the graph. Equal digests mean equal ops on equal inputs, whoever made them. */
export interface Vertex {
  /** sha256 over the encoded op and its inputs' digests and output indexes. */
  readonly digest: Digest;
  readonly op: Op;
  readonly inputs: readonly Edge[];
  readonly options: VertexOptions;
}
