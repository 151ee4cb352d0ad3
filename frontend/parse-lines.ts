// Physical lines -> instructions on one line each, by BuildKit's rules for continuations, comments and empty lines.
import { dockerfileError } from './errors.ts';
import { trimSpace, trimSpaceStart } from './go-text.ts';
import type { HeredocWord } from './heredoc.ts';
import { lineRange, type SourceFile } from './source-file.ts';

/** A heredoc's body as written, with its word. */
export interface HeredocBody extends HeredocWord {
  readonly body: string;
}

/** One instruction's line: continuations joined, their blanks kept. Lines are 1-based and inclusive. */
export interface LogicalLine {
  readonly text: string;
  readonly firstLine: number;
  readonly lastLine: number;
  /** The comments directly above, without `#`. */
  readonly comments: readonly string[];
  readonly hasEmptyContinuation: boolean;
}

const MAX_LINE_BYTES = 65535;

/** A place in a file's lines; what reads instructions and what reads heredoc bodies take turns with it. */
export class LineCursor {
  /** With their line ends. */
  private readonly lines: readonly string[];
  private readonly directiveLines: number;
  private readonly continuation: RegExp;
  private at = 0;

  /** `lines` must be those of {@link splitLines}; the first `directiveLines` of them are not comments. */
  constructor(lines: readonly string[], directiveLines: number, escapeToken: string) {
    this.lines = lines;
    this.directiveLines = directiveLines;
    // Blanks may follow the escape; a doubled escape continues nothing.
    this.continuation = escapeToken === '`' ? /(^|[^`])`[ \t]*$/ : /(^|[^\\])\\[ \t]*$/;
  }

  /** Lines taken so far, which is also the number of the last one. */
  get taken(): number {
    return this.at;
  }

  /** The next instruction; undefined at the end of the file. */
  nextInstruction(): LogicalLine | undefined {
    let comments: string[] = [];
    for (let line = this.take(); line !== undefined; line = this.take()) {
      const text = trimSpaceStart(line);
      if (text.startsWith('#')) comments = this.addComment(comments, text);
      else if (text === '') comments = [];
      else return this.joinContinuations(text, comments);
    }
    return undefined;
  }

  /** The lines up to the one that is the heredoc's name; undefined when the file ends before it. */
  takeHeredoc(word: HeredocWord): HeredocBody | undefined {
    let body = '';
    for (let raw = this.lines[this.at]; raw !== undefined; raw = this.lines[this.at]) {
      this.at += 1;
      const text = trimLineEnd(raw);
      if ((word.chomp ? text.replace(/^\t+/, '') : text) === word.name) return { ...word, body };
      body += raw;
    }
    return undefined;
  }

  private addComment(comments: string[], text: string): string[] {
    const comment = trimSpace(text.slice(1));
    if (this.at <= this.directiveLines || comment === '') return [];
    return [...comments, comment];
  }

  private joinContinuations(first: string, comments: readonly string[]): LogicalLine {
    const firstLine = this.at;
    let hasEmptyContinuation = false;
    let { text, continues } = this.cut(first);
    while (continues) {
      const line = this.take();
      if (line === undefined) break;
      const content = trimSpaceStart(line);
      if (content.startsWith('#')) continue;
      if (content === '') {
        hasEmptyContinuation = true;
        continue;
      }
      const part = this.cut(line);
      text += part.text;
      continues = part.continues;
    }
    return { text, firstLine, lastLine: this.at, comments, hasEmptyContinuation };
  }

  private cut(line: string): { text: string; continues: boolean } {
    const match = this.continuation.exec(line);
    if (match === null) return { text: line, continues: false };
    return { text: line.slice(0, match.index + (match[1]?.length ?? 0)), continues: true };
  }

  private take(): string | undefined {
    const line = this.lines[this.at];
    if (line === undefined) return undefined;
    this.at += 1;
    return trimLineEnd(line);
  }
}

interface SplitLines {
  /** With their line ends; a byte order mark is dropped. Only those before a line that is too long. */
  readonly lines: readonly string[];
  /** A line too long for BuildKit to read. The line before it is marked, as BuildKit does. */
  readonly problem: Error | undefined;
}

/** The physical lines of a file. */
export function splitLines(file: SourceFile): SplitLines {
  const lines: string[] = [];
  const text = file.text.startsWith('\ufeff') ? file.text.slice(1) : file.text;
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    if (isTooLong(text, start, end)) return { lines, problem: tooLong(file, lines.length + 1) };
    lines.push(text.slice(start, newline < 0 ? end : end + 1));
    start = end + 1;
  }
  return { lines, problem: undefined };
}

/** The line without its `\n` and any `\r` before it. */
export function trimLineEnd(line: string): string {
  let end = line.length;
  while (end > 0 && '\r\n'.includes(line.charAt(end - 1))) end -= 1;
  return line.slice(0, end);
}

function isTooLong(text: string, start: number, end: number): boolean {
  // A UTF-16 unit is at most three bytes of UTF-8.
  if ((end - start) * 3 <= MAX_LINE_BYTES) return false;
  return Buffer.byteLength(text.slice(start, end)) > MAX_LINE_BYTES;
}

function tooLong(file: SourceFile, line: number): Error {
  // As BuildKit, which has read the line before it.
  const before = Math.max(line - 1, 1);
  return dockerfileError('LINE_TOO_LONG', `dockerfile line greater than max allowed size of ${MAX_LINE_BYTES}`, {
    range: lineRange(file, before, before),
    hint: `break line ${line} up with continuations`,
  });
}
