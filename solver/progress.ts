// What can happen during a solve, as one union; every printer is one exhaustive switch over it.
import type { Digest } from './digest.ts';
import type { SourceRange } from './errors.ts';

interface EventBase {
  /** UTC, ms since the epoch, with fractions. */
  readonly timeMs: number;
  /** The vertex it belongs to; steps that are no vertex (loading the Dockerfile, exporting) use a digest of their name. */
  readonly vertex: Digest;
}

/**
 * A vertex is `cached`, or `started` and later, once, `completed`, `failed` or `canceled`; what it says comes in
 * between.
 */
export type SolveEvent = EventBase &
  (
    | { readonly type: 'started'; readonly name: string }
    /** `resultID` is absent when it was not looked for, or is the empty tree. */
    | { readonly type: 'cached'; readonly name: string; readonly resultID?: string }
    /** Why a vertex runs; between its `started` and its first output. */
    | { readonly type: 'reason'; readonly message: string }
    | { readonly type: 'completed' }
    | { readonly type: 'canceled' }
    | { readonly type: 'failed'; readonly message: string }
    | { readonly type: 'log'; readonly stream: 'stdout' | 'stderr'; readonly bytes: Uint8Array }
    | {
        readonly type: 'progress';
        /** Identifies the line within the vertex, such as `transferring context` or a blob's digest. */
        readonly id: string;
        readonly current: number;
        readonly total?: number;
        readonly unit: 'bytes' | 'files' | 'none';
        readonly done: boolean;
      }
    | { readonly type: 'warning'; readonly message: string; readonly range?: SourceRange }
  );

/** Takes events in the order they happen, and does not wait for whoever shows them. */
export type EmitEvent = (event: SolveEvent) => void;
