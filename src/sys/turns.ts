// Long synchronous work in slices: between them timers and signals have their turn, a Ctrl-C above all.
import { elapsedMs } from './clock.ts';
import { keepHeapTight } from './tight-heap.ts';

/** Work that can pause wherever it yields. */
export type Slices<T> = Generator<undefined, T, undefined>;

/** How long a slice may take: a Ctrl-C is noticed within this time. */
const SLICE_MS = 40;

/** Does the work, slice by slice, until it is done or the signal aborts it; rejects with the signal's reason then. */
export async function inTurns<T>(work: Slices<T>, signal: AbortSignal): Promise<T> {
  try {
    for (;;) {
      const endMs = elapsedMs() + SLICE_MS;
      do {
        const step = work.next();
        if (step.done === true) return step.value;
      } while (elapsedMs() < endMs);
      keepHeapTight();
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
    }
  } finally {
    // So that files the work holds open are closed; nothing when it has ended by itself.
    work.return(undefined as T);
  }
}

/** Does the work in one go, for callers that cannot wait. */
export function atOnce<T>(work: Slices<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
