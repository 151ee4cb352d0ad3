// Prints split-up instructions in the form of BuildKit's parse tree dumps.
import { quoteGo } from '../../frontend/go-text.ts';
import type { SplitFile } from '../../frontend/parse-file.ts';
import type { RawInstruction } from '../../frontend/parse-line.ts';

/** One `(keyword ["--flags"] "argument" …)` a line. */
export function dumpInstructions(file: SplitFile): string {
  return file.instructions.map(({ raw }) => `(${dump(raw)})\n`).join('');
}

function dump({ keyword, flags, args, inner }: RawInstruction): string {
  const shownFlags = flags.length === 0 ? [] : [`[${flags.map(quoteGo).join(' ')}]`];
  const shownArgs = inner === undefined ? args.map(quoteGo) : [`(${dump(inner)})`];
  return [keyword.toLowerCase(), ...shownFlags, ...shownArgs].join(' ');
}
