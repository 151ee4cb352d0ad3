// What one run of the command shares: its store, its printer, its signal, and what the error report will need.
import type { SourceFile } from '../frontend/source-file.ts';
import type { Digest } from '../solver/digest.ts';
import type { EmitEvent } from '../solver/progress.ts';
import type { Store } from './store/open-store.ts';

/** `main.ts` makes it and closes what is in it. */
export interface Session {
  readonly store: Store;
  readonly emit: EmitEvent;
  readonly signal: AbortSignal;
  /** Standard input, for a build context or Dockerfile that is `-`; opened when asked for. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
  /** For an output that goes to standard output. */
  readonly stdout: NodeJS.WriteStream;
  /** True in a user namespace: not every owner and no device can be made. */
  readonly isRootless: boolean;
  /** Where the user stands: relative paths start here. */
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** UTC, ms since the epoch, with fractions. */
  readonly now: () => number;
  /** Undefined, or resolves when who watches the events can take more. */
  readonly outputRoom: () => Promise<void> | undefined;
  /** Says something that is no failure. */
  readonly warn: (message: string) => void;
  /** Lets error reports show excerpts of this file. */
  readonly showSource: (file: SourceFile) => void;
  /** Lets error reports read what a step has written. */
  readonly showLog: (vertex: Digest, path: string) => void;
}
