// Splitting an instruction's text into words, before anything is expanded.
import { isSpace } from './go-text.ts';

/** The blanks between words: no line feed, no Unicode spaces. */
const BLANKS = /[\t\v\f\r ]+/;

/** At every run of blanks; no words for the empty text. */
export function splitBlanks(text: string): readonly string[] {
  return text === '' ? [] : text.split(BLANKS);
}

/** At the first run of blanks. The second part is undefined when there is none. */
export function splitAtBlank(text: string): readonly [string, string | undefined] {
  const match = BLANKS.exec(text);
  if (match === null) return [text, undefined];
  return [text.slice(0, match.index), text.slice(match.index + match[0].length)];
}

/**
 * The words of ENV, LABEL and ARG: blanks inside quotes do not split, an escape takes the next character along. Quotes
 * and escapes stay in the words; expansion resolves them.
 */
export function splitQuotedWords(text: string, escapeToken: string): readonly string[] {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && isSpace(text.charAt(at))) at += 1;
    if (at >= text.length) return words;
    const word = readWord(text, at, escapeToken);
    if (word.value !== '') words.push(word.value);
    at = word.end;
  }
}

function readWord(text: string, start: number, escapeToken: string): { value: string; end: number } {
  let value = '';
  let quote = '';
  for (let at = start; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (quote === '' && isSpace(char)) return { value, end: at };
    if (char === escapeToken && quote !== "'") {
      // A trailing escape escapes nothing and is dropped.
      if (at + 1 < text.length) value += char + text.charAt(at + 1);
      at += 1;
      continue;
    }
    if (quote === '' && (char === '"' || char === "'")) quote = char;
    else if (char === quote) quote = '';
    value += char;
  }
  return { value, end: text.length };
}
