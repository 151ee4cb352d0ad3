// Shows nothing while the build goes on; the image ID is printed by the command itself.
import type { ProgressPrinter } from './printer.ts';

/** A printer that prints nothing. */
export function createQuietPrinter(): ProgressPrinter {
  return { showsAll: false, print() {}, say() {}, close() {} };
}
