// A Dockerfile's text with its name, and the positions in it.
import type { SourceRange } from '../solver/errors.ts';

/** Ranges of errors are positions in `text`; its lines end in LF or CRLF. */
export interface SourceFile {
  /** As the user named it, relative to where they stand: shown in messages. */
  readonly name: string;
  readonly text: string;
}

/** The range of whole lines, 1-based and inclusive at both ends. */
export function lineRange(file: SourceFile, firstLine: number, lastLine: number): SourceRange {
  return { file: file.name, start: { line: firstLine, column: 1 }, end: { line: lastLine + 1, column: 1 } };
}

/** The last line that a range touches: a range that ends at column 1 ends with the line before. */
export function lastLineOf(range: SourceRange): number {
  const { start, end } = range;
  return end.column === 1 && end.line > start.line ? end.line - 1 : end.line;
}
