// A whole file -> its instructions, split up and located, not yet judged. All errors are gathered on the way.
import { type SourceRange, TsbuildError } from '../solver/errors.ts';
import { type Directives, readDirectives } from './directives.ts';
import { dockerfileError, withRange } from './errors.ts';
import { findHeredocWords } from './heredoc.ts';
import type { LintWarning } from './instruction.ts';
import { lintWarning } from './lint-rules.ts';
import { canHaveHeredocs, parseLine, type RawInstruction } from './parse-line.ts';
import { type HeredocBody, LineCursor, type LogicalLine, splitLines, trimLineEnd } from './parse-lines.ts';
import { lineRange, type SourceFile } from './source-file.ts';

/** One instruction with its place. */
export interface LocatedInstruction {
  readonly raw: RawInstruction;
  readonly heredocs: readonly HeredocBody[];
  readonly comments: readonly string[];
  /** Whole lines, heredoc bodies included. */
  readonly range: SourceRange;
}

/** Everything that was read, also when there are errors: those say what of it cannot be trusted. */
export interface SplitFile extends Directives {
  readonly instructions: readonly LocatedInstruction[];
  readonly warnings: readonly LintWarning[];
  readonly errors: readonly TsbuildError[];
}

/** Splits a file; `givenEscape` replaces what its directives say. Never throws what the user caused: see `errors`. */
export function splitFile(file: SourceFile, givenEscape?: '\\' | '`'): SplitFile {
  if (file.text === '')
    return failed([
      dockerfileError('EMPTY', 'the Dockerfile cannot be empty', { hint: `there is nothing in ${file.name}` }),
    ]);
  const { lines, problem } = splitLines(file);
  const head = tryRead(() => readDirectives(file, lines.map(trimLineEnd)));
  if (head.error !== undefined) return failed([head.error]);
  const escapeToken = givenEscape ?? head.value.escape;
  const cursor = new LineCursor(lines, head.value.directives.length, escapeToken);
  const body = readInstructions(file, cursor, escapeToken, problem !== undefined);
  const errors = [...body.errors];
  if (problem instanceof TsbuildError) errors.push(problem);
  else if (body.instructions.length === 0 && errors.length === 0) errors.push(noInstructions(file, cursor.taken));
  return { ...body, ...head.value, escape: escapeToken, errors };
}

interface Body {
  readonly instructions: readonly LocatedInstruction[];
  readonly warnings: readonly LintWarning[];
  readonly errors: readonly TsbuildError[];
}

/** When the file `isCut`, the instruction that reaches the cut is left out: whatever is wrong with it is the cut. */
function readInstructions(file: SourceFile, cursor: LineCursor, escapeToken: string, isCut: boolean): Body {
  const instructions: LocatedInstruction[] = [];
  const warnings: LintWarning[] = [];
  const errors: TsbuildError[] = [];
  for (let line = cursor.nextInstruction(); line !== undefined; line = cursor.nextInstruction()) {
    if (line.hasEmptyContinuation) {
      const range = lineRange(file, line.lastLine, line.lastLine);
      warnings.push(lintWarning('NoEmptyContinuation', 'Empty continuation line', range));
    }
    const read = readInstruction(file, cursor, line, escapeToken);
    if (read.error === undefined) instructions.push(read.value);
    else if (!(isCut && read.reachesEnd)) errors.push(read.error);
  }
  return { instructions, warnings, errors };
}

type InstructionRead =
  | { readonly value: LocatedInstruction; readonly error?: undefined }
  | { readonly error: TsbuildError; readonly reachesEnd: boolean };

function readInstruction(
  file: SourceFile,
  cursor: LineCursor,
  line: LogicalLine,
  escapeToken: string,
): InstructionRead {
  const { comments, firstLine } = line;
  const split = tryRead(() => parseLine(line.text, escapeToken));
  if (split.error !== undefined) {
    const range = lineRange(file, firstLine, line.lastLine);
    return { error: withRange(split.error, range), reachesEnd: false };
  }
  const heredocs: HeredocBody[] = [];
  for (const word of canHaveHeredocs(split.value) ? findHeredocWords(line.text) : []) {
    const heredoc = cursor.takeHeredoc(word);
    if (heredoc === undefined)
      return { error: unterminated(file, firstLine, cursor.taken, word.name), reachesEnd: true };
    heredocs.push(heredoc);
  }
  return { value: { raw: split.value, heredocs, comments, range: lineRange(file, firstLine, cursor.taken) } };
}

type Attempt<T> = { readonly value: T; readonly error?: undefined } | { readonly error: TsbuildError };

function tryRead<T>(read: () => T): Attempt<T> {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof TsbuildError) return { error };
    throw error;
  }
}

function failed(errors: readonly TsbuildError[]): SplitFile {
  return { directives: [], escape: '\\', instructions: [], warnings: [], errors };
}

function unterminated(file: SourceFile, firstLine: number, lastLine: number, name: string): TsbuildError {
  return dockerfileError('HEREDOC_UNTERMINATED', 'unterminated heredoc', {
    range: lineRange(file, firstLine, lastLine),
    hint: `end it with a line that is ${name}`,
  });
}

function noInstructions(file: SourceFile, lines: number): TsbuildError {
  const range = lineRange(file, Math.max(lines, 1), Math.max(lines, 1));
  return dockerfileError('NO_INSTRUCTIONS', 'file with no instructions', { range });
}
