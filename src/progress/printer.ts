// The port every way of showing progress implements: it takes events as they come and closes once.
import type { SolveEvent } from '../../solver/progress.ts';

/** Nothing may be printed after `close`. */
export interface ProgressPrinter {
  /** True when it shows all that steps write: then an error report need not begin at the beginning. */
  readonly showsAll: boolean;
  print(event: SolveEvent): void;
  /** Shows lines that belong to no step, each ending in a newline. */
  say(text: string): void;
  /** Writes what is still held back and restores the terminal; idempotent, safe on any exit. */
  close(): void;
}

/** Where a printer writes: stderr in the command, a buffer in tests. */
export type WriteText = (text: string) => void;
