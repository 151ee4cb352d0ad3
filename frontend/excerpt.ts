// The piece of the source around an error, its lines marked.
import type { SourceRange } from '../solver/errors.ts';
import { lastLineOf, type SourceFile } from './source-file.ts';

const RULE = '--------------------\n';

/**
 * The lines of `range` with `>>>` and up to four lines around them (two around several lines), headed by
 * `<file>:<line>`. The empty text when the range lies outside the file. Of a longer line, `maxLength` characters are shown.
 */
export function renderExcerpt(
  file: SourceFile,
  range: SourceRange,
  { maxLength = Number.POSITIVE_INFINITY } = {},
): string {
  const lines = file.text.split('\n');
  const first = range.start.line;
  if (first < 1 || first > lines.length) return '';
  const last = Math.min(Math.max(lastLineOf(range), first), lines.length);
  const shown = widen(first, last, lines.length);
  let excerpt = `${file.name}:${first}\n${RULE}`;
  for (let line = shown.first; line <= shown.last; line += 1) {
    const mark = line >= first && line <= last ? '>>>' : '   ';
    excerpt += ` ${String(line).padStart(3)} | ${mark} ${shortened(lines[line - 1] ?? '', maxLength)}\n`;
  }
  return excerpt + RULE;
}

function shortened(line: string, maxLength: number): string {
  return line.length > maxLength ? `${line.slice(0, maxLength)}…` : line;
}

/** Each round costs one, and one more for each side it could still grow on: at the file's edges less is shown. */
function widen(first: number, last: number, count: number): { first: number; last: number } {
  const budget = first === last ? 4 : 2;
  const shown = { first, last };
  for (let spent = 0; spent < budget; spent += 1) {
    if (shown.first > 1) {
      shown.first -= 1;
      spent += 1;
    }
    if (shown.last < count) {
      shown.last += 1;
      spent += 1;
    }
  }
  return shown;
}
