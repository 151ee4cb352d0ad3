// The port every way of showing progress implements: it takes events as they come and closes once.
import type { SolveEvent } from '../../solver/progress.ts';

export interface ProgressPrinter {
  print(event: SolveEvent): void;
  /** Writes what is still held back and restores the terminal; idempotent, safe on any exit. */
  close(): void;
}

/** Where a printer writes: stderr in the command, a buffer in tests. */
export type WriteText = (text: string) => void;
