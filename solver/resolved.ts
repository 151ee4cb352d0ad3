// Edges that have a result, and the keys that lead to it.
import type { Digest } from './digest.ts';
import type { InputKeys } from './freshness.ts';
import type { Result } from './op-runner.ts';

/** What is known of an edge that has a result. */
export interface Resolved {
  readonly result: Result;
  /** False when it was made in this solve. */
  readonly isRecord: boolean;
  /** By which the steps above may be looked up; none when the result may differ from what these keys led to before. */
  readonly keyIDs: readonly string[];
  /** By which the steps above are saved. */
  readonly savedKeyIDs: readonly string[];
}

/** An input that has a result, or needs none. */
export interface ResolvedInput extends Omit<Resolved, 'result' | 'isRecord'> {
  readonly content: Digest | undefined;
}

/** By which a step on the input is looked up. */
export function lookedUp({ keyIDs, content }: ResolvedInput): InputKeys {
  return content === undefined ? { keyIDs } : { keyIDs, content };
}

/** True when the input may differ from what its keys led to before. */
export function isHidden({ keyIDs, savedKeyIDs }: ResolvedInput): boolean {
  return keyIDs.length === 0 && savedKeyIDs.length > 0;
}

/** By which a step on the input is saved. */
export function saved({ savedKeyIDs, content }: ResolvedInput): InputKeys {
  return lookedUp({ keyIDs: savedKeyIDs, savedKeyIDs, content });
}
