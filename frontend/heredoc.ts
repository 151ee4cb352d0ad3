// Heredocs: finding their words on an instruction's line, and what becomes of their bodies.
import type { Heredoc } from './instruction.ts';
import { EMPTY_ENV, type ExpandOptions, expandWords } from './shell-words.ts';

/** A `<<` word, before its body is read. */
export interface HeredocWord {
  /** Without quotes, dash and file descriptor: the line that ends the body. */
  readonly name: string;
  readonly expand: boolean;
  readonly chomp: boolean;
  readonly fileDescriptor: number;
}

const HEREDOC = /^(\d*)<<(-?)\s*([^<]*)$/;
const QUOTES = /['"]/g;

/** The heredoc words of a line, in order. Always read with a backslash as escape, whatever `# escape=` says. */
export function findHeredocWords(line: string): readonly HeredocWord[] {
  if (!line.includes('<<')) return [];
  const words = tryWords(line, { rawQuotes: true, rawEscapes: true, skipUnsetEnv: true }) ?? [];
  return words.map(parseHeredocWord).filter((word) => word !== undefined);
}

/** Undefined for a word that is none, such as `a<<b` or `<<`. */
export function parseHeredocWord(word: string): HeredocWord | undefined {
  const [, descriptor = '', dash = '', rest = ''] = HEREDOC.exec(word) ?? [];
  if (rest === '') return undefined;
  const [name, ...others] = tryWords(rest, { skipUnsetEnv: true }) ?? [];
  const [raw] = tryWords(rest, { skipUnsetEnv: true, rawQuotes: true }) ?? [];
  if (name === undefined || raw === undefined || others.length > 0) return undefined;
  return {
    name,
    expand: countQuotes(name) === countQuotes(raw),
    chomp: dash === '-',
    fileDescriptor: Number(descriptor),
  };
}

/** The body without the leading tabs of its lines, as `<<-` wants it. */
export function stripLeadingTabs(body: string): string {
  return body.replace(/(^|\n)\t+/g, '$1');
}

/** The shell text of a RUN whose heredocs the shell reads itself: the line, then every body and its end. */
export function joinHeredocs(line: string, heredocs: readonly Heredoc[]): string {
  return heredocs.reduce((text, { rawBody, name }) => `${text}\n${rawBody}${name}`, line);
}

/** Whether a RUN's whole command is one heredoc word: then its body is the script. */
export function isLoneHeredoc(command: string): boolean {
  return parseHeredocWord(command) !== undefined;
}

function tryWords(text: string, options: ExpandOptions): readonly string[] | undefined {
  try {
    return expandWords(text, EMPTY_ENV, options).words;
  } catch {
    // What cannot be split has no heredoc; RUN's shell or the path check judges it.
    return undefined;
  }
}

function countQuotes(text: string): number {
  return text.match(QUOTES)?.length ?? 0;
}
