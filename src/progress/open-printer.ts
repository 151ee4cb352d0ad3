// Chooses how progress is shown, and loads the terminal view only when it is.
import type { ProgressMode } from '../cli/options.ts';
import type { PacedWriter } from './paced-writer.ts';
import { createPlainPrinter } from './plain-printer.ts';
import type { ProgressPrinter } from './printer.ts';
import { createQuietPrinter } from './quiet-printer.ts';

/** The printer for the mode; `auto` is the terminal view on a terminal and plain lines elsewhere, which the writer takes. */
export async function openPrinter(
  mode: ProgressMode,
  stream: NodeJS.WriteStream,
  { write }: Pick<PacedWriter, 'write'>,
): Promise<ProgressPrinter> {
  if (mode === 'quiet') return createQuietPrinter();
  if (mode === 'tty' || (mode === 'auto' && stream.isTTY && process.env['TERM'] !== 'dumb')) {
    const { createTtyPrinter } = await import('./tty/tty-printer.tsx');
    return createTtyPrinter({ stream });
  }
  return createPlainPrinter({ write, isTerminal: stream.isTTY });
}
