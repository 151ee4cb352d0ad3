// One instruction on one line (continuations joined) -> keyword, flags and arguments. Nothing is judged here that the
// splitting does not need: unknown keywords pass.
import { dockerfileError } from './errors.ts';
import { extractFlags } from './flags.ts';
import { isSpace, quoteGo, trimSpace } from './go-text.ts';
import { parseJSONForm } from './json-form.ts';
import { splitAtBlank, splitBlanks, splitQuotedWords } from './parse-words.ts';

/** An instruction split up, its arguments not yet judged. */
export interface RawInstruction {
  /** As written. */
  readonly keyword: string;
  readonly flags: readonly string[];
  /** ENV and LABEL: key, value and `=` (or the empty text for the form without it) for every pair. */
  readonly args: readonly string[];
  /** The arguments came as a JSON array. */
  readonly isJSON: boolean;
  /** The trigger of an ONBUILD. */
  readonly inner: RawInstruction | undefined;
  /** The whole line. */
  readonly original: string;
}

interface Arguments {
  readonly args: readonly string[];
  readonly isJSON?: boolean;
  readonly inner?: RawInstruction;
}

type ReadArguments = (rest: string, escapeToken: string) => Arguments;

/** How each keyword's arguments are written. */
const READERS: Readonly<Record<string, ReadArguments>> = {
  ADD: readJSONOrList,
  ARG: (rest, escapeToken) => ({ args: splitQuotedWords(rest, escapeToken) }),
  CMD: readJSONOrText,
  COPY: readJSONOrList,
  ENTRYPOINT: readJSONOrText,
  ENV: (rest, escapeToken) => readPairs('ENV', rest, escapeToken),
  EXPOSE: readList,
  FROM: readList,
  HEALTHCHECK: readHealthcheck,
  LABEL: (rest, escapeToken) => readPairs('LABEL', rest, escapeToken),
  MAINTAINER: readText,
  ONBUILD: readTrigger,
  RUN: readJSONOrText,
  SHELL: readJSONOrText,
  STOPSIGNAL: readText,
  USER: readText,
  VOLUME: readJSONOrList,
  WORKDIR: readText,
};

/** Every keyword of the language, in upper case. */
export const KEYWORDS: readonly string[] = Object.keys(READERS);

/** Splits one instruction. Throws, without a place, what already the splitting finds: `ENV must have two arguments`. */
export function parseLine(line: string, escapeToken: string): RawInstruction {
  const [keyword, after] = splitAtBlank(trimSpace(line));
  const { flags, rest } = extractFlags(after ?? '');
  const read = READERS[keyword.toUpperCase()];
  const { args, isJSON = false, inner } = read === undefined ? { args: [] } : read(trimSpace(rest), escapeToken);
  return { keyword, flags, args, isJSON, inner, original: line };
}

/** Whether `<<` words in the line begin heredocs: in ADD, COPY and RUN, and in an ONBUILD of those, not in JSON form. */
export function canHaveHeredocs(raw: RawInstruction): boolean {
  const subject = raw.keyword.toUpperCase() === 'ONBUILD' ? (raw.inner ?? raw) : raw;
  return ['ADD', 'COPY', 'RUN'].includes(subject.keyword.toUpperCase()) && !subject.isJSON;
}

function readList(rest: string): Arguments {
  return { args: splitBlanks(rest) };
}

function readText(rest: string): Arguments {
  return { args: rest === '' ? [] : [rest] };
}

function readJSONOrList(rest: string): Arguments {
  const strings = parseJSONForm(rest);
  return strings === undefined ? readList(rest) : { args: strings, isJSON: true };
}

function readJSONOrText(rest: string): Arguments {
  const strings = parseJSONForm(rest);
  return strings === undefined ? readText(rest) : { args: strings, isJSON: true };
}

function readTrigger(rest: string, escapeToken: string): Arguments {
  if (rest === '') return { args: [] };
  const inner = parseLine(rest, escapeToken);
  return { args: [inner.keyword, ...inner.args], inner };
}

function readHealthcheck(rest: string): Arguments {
  let end = 0;
  while (end < rest.length && !isSpace(rest.charAt(end))) end += 1;
  if (end === 0) return { args: [] };
  const command = readJSONOrText(trimSpace(rest.slice(end)));
  return { args: [rest.slice(0, end), ...command.args], isJSON: command.isJSON ?? false };
}

/** `KEY value…` when the first word has no `=`: then everything behind the blanks is the value, as written. */
function readPairs(keyword: string, rest: string, escapeToken: string): Arguments {
  const words = splitQuotedWords(rest, escapeToken);
  const [first] = words;
  if (first === undefined) return { args: [] };
  if (first.includes('=')) return { args: words.flatMap(splitPair) };
  const [key, value] = splitAtBlank(rest);
  if (value !== undefined) return { args: [key, value, ''] };
  throw dockerfileError('ENV_NO_VALUE', `${keyword} must have two arguments`, {
    word: key,
    hint: `write ${keyword} ${key}=value`,
  });
}

function splitPair(word: string): readonly string[] {
  const at = word.indexOf('=');
  if (at >= 0) return [word.slice(0, at), word.slice(at + 1), '='];
  const message = `Syntax error - can't find = in ${quoteGo(word)}. Must be of the form: name=value`;
  throw dockerfileError('ENV_NO_EQUALS', message, { word, hint: 'put quotes around a value that has blanks' });
}
