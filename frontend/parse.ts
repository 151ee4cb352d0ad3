// The door from text to instructions. Splitting is our own (parse-file.ts; README, Decision 1); dockerfile-ast, imported
// here alone, finds the columns of the word that an error is about.
import { DockerfileParser, type ParserDirective } from 'dockerfile-ast';
import { type SourceRange, TsbuildError, TsbuildErrors } from '../solver/errors.ts';
import { atRange, DockerfileError, dockerfileError, withRange } from './errors.ts';
import type { Instruction, ParsedDockerfile } from './instruction.ts';
import { type LocatedInstruction, splitFile } from './parse-file.ts';
import { typeInstruction } from './parse-instruction.ts';
import { lastLineOf, type SourceFile } from './source-file.ts';

/**
 * Reads a Dockerfile. Throws TsbuildErrors with every error of the file in the order of its lines, each with its range
 * and BuildKit's text. Which instruction may stand where (ARG before FROM, stages) is not judged here.
 */
export function parseDockerfile(file: SourceFile): ParsedDockerfile {
  const split = splitFile(file);
  const errors = [...split.errors];
  const instructions: Instruction[] = [];
  for (const one of split.instructions) {
    try {
      instructions.push(typeInstruction(one));
    } catch (error) {
      const prefix = `dockerfile parse error on line ${one.range.start.line}: `;
      for (const each of eachOf(error)) errors.push(withRange(each, one.range, prefix));
    }
  }
  const { directives, escape: escapeToken, warnings } = split;
  if (errors.length === 0) return { directives, escape: escapeToken, instructions, warnings };
  errors.sort((a, b) => (a.range?.start.line ?? 0) - (b.range?.start.line ?? 0));
  const lines = file.text.split('\n');
  throw new TsbuildErrors(
    errors.map((error, index) => (index < MAX_NARROWED ? narrowToWord(file, lines, error) : error)),
  );
}

/**
 * Reads the trigger of an ONBUILD when it fires: one instruction, heredocs allowed. `range` is the place of whatever
 * fires it, and becomes the instruction's. Throws one TsbuildError.
 */
export function parseOnbuild(expression: string, range: SourceRange, escapeToken: '\\' | '`' = '\\'): Instruction {
  const { instructions, errors } = splitFile({ name: range.file, text: expression }, escapeToken);
  const [error] = errors;
  if (error !== undefined) throw relocate(error, range);
  const [only, ...more] = instructions;
  if (only === undefined || more.length > 0) {
    throw dockerfileError('ONBUILD_TRIGGER', 'onbuild trigger should be a single expression', { range });
  }
  const instruction = atRange(range, () => typeFirstWrong({ ...only, range }));
  if (instruction.kind !== 'FROM' && instruction.kind !== 'MAINTAINER' && instruction.kind !== 'ONBUILD') {
    return instruction;
  }
  throw dockerfileError('ONBUILD_TRIGGER', `${instruction.kind} isn't allowed as an ONBUILD trigger`, { range });
}

/** Of several errors it throws the first. */
function typeFirstWrong(located: LocatedInstruction): Instruction {
  try {
    return typeInstruction(located);
  } catch (error) {
    throw eachOf(error)[0];
  }
}

function eachOf(error: unknown): readonly unknown[] {
  return error instanceof TsbuildErrors ? error.errors : [error];
}

function relocate(error: TsbuildError, range: SourceRange): TsbuildError {
  const { code, message, hint } = error;
  return new TsbuildError(code, message, hint === undefined ? { range } : { range, hint });
}

/** A range of dockerfile-ast: 0-based, its end exclusive. */
type Range = ReturnType<ParserDirective['getRange']>;

/** More errors and longer lines are not worth a second parser's time. */
const MAX_NARROWED = 100;
const MAX_NARROWED_LENGTH = 4096;

/** The error with its word's columns for range, when its instruction is on one line and the word is found there. */
function narrowToWord(file: SourceFile, lines: readonly string[], error: TsbuildError): TsbuildError {
  const { range } = error;
  if (!(error instanceof DockerfileError) || range === undefined || error.word === undefined) return error;
  const line = range.start.line;
  if (lastLineOf(range) !== line) return error;
  const text = lines[line - 1] ?? '';
  const found = text.length > MAX_NARROWED_LENGTH ? undefined : findWord(text, error.word);
  if (found === undefined) return error;
  const start = { line, column: found.start.character + 1 };
  const narrow = { file: file.name, start, end: { line, column: found.end.character + 1 } };
  const options = error.hint === undefined ? { range: narrow } : { range: narrow, hint: error.hint };
  return new DockerfileError(error.code, error.message, { ...options, word: error.word });
}

function findWord(text: string, word: string): Range | undefined {
  const [instruction] = DockerfileParser.parse(text).getInstructions();
  if (instruction === undefined) return undefined;
  const flags = 'getFlags' in instruction && typeof instruction.getFlags === 'function' ? instruction.getFlags() : [];
  const parts: { getRange(): Range | null }[] = [...flags, ...instruction.getArguments()];
  const ranges = [instruction.getInstructionRange(), ...parts.map((part) => part.getRange())];
  return ranges.find((range): range is Range => range !== null && sliceOf(text, range) === word);
}

function sliceOf(text: string, { start, end }: Range): string {
  return start.line === 0 && end.line === 0 ? text.slice(start.character, end.character) : '';
}
