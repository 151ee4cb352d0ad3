// The flags of an instruction: the `--name=value` words between its keyword and its arguments.
import { TsbuildError, TsbuildErrors } from '../solver/errors.ts';
import { dockerfileError } from './errors.ts';
import { isSpace } from './go-text.ts';
import { didYouMean } from './suggest.ts';

interface ExtractedFlags {
  /** The flag words, quotes and backslashes resolved. */
  readonly flags: readonly string[];
  /** What follows them, as written. */
  readonly rest: string;
}

/** `strings` may be given several times; `bool` takes no value, `=true` or `=false`. */
type FlagKind = 'bool' | 'string' | 'strings';

/** The flags an instruction knows, by name without dashes. */
export type FlagSpec = Readonly<Record<string, FlagKind>>;

/** What was given; asking for a flag that was not gives undefined or an empty list. */
export interface FlagValues {
  string(name: string): string | undefined;
  /** Undefined when not given. */
  bool(name: string): boolean | undefined;
  strings(name: string): readonly string[];
}

/** Takes the leading words that begin with `--`; a bare `--` ends them and is dropped. */
export function extractFlags(text: string): ExtractedFlags {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && isSpace(text.charAt(at))) at += 1;
    if (!text.startsWith('--', at)) return { flags, rest: text.slice(at) };
    const word = readFlagWord(text, at);
    at = word.end;
    if (word.value === '--') return { flags, rest: text.slice(at) };
    flags.push(word.value);
  }
}

/** One word up to an unquoted blank. A backslash takes the next character as it is, inside quotes too. */
function readFlagWord(text: string, start: number): { value: string; end: number } {
  let value = '';
  let quote = '';
  for (let at = start; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (quote === '' && isSpace(char)) return { value, end: at };
    if (char === '\\') {
      at += 1;
      value += text.charAt(at);
    } else if (char === quote) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
    else value += char;
  }
  return { value, end: text.length };
}

/**
 * Checks the words against what the instruction knows. Errors TSB_DOCKERFILE_FLAG_… with BuildKit's texts; TsbuildErrors
 * when several words are wrong.
 */
export function readFlags(words: readonly string[], spec: FlagSpec): FlagValues {
  const given = new Map<string, string[]>();
  const errors: TsbuildError[] = [];
  for (const word of words) {
    try {
      readFlag(word, spec, given);
    } catch (error) {
      if (!(error instanceof TsbuildError)) throw error;
      errors.push(error);
    }
  }
  const [first, second] = errors;
  if (first !== undefined) throw second === undefined ? first : new TsbuildErrors(errors);
  return {
    string: (name) => given.get(name)?.[0],
    bool: (name) => (given.has(name) ? given.get(name)?.[0] === 'true' : undefined),
    strings: (name) => given.get(name) ?? [],
  };
}

function readFlag(word: string, spec: FlagSpec, given: Map<string, string[]>): void {
  const { name, value } = splitFlag(word);
  const kind = Object.hasOwn(spec, name) ? spec[name] : undefined;
  if (kind === undefined) throw unknownFlag(name, word, spec);
  const values = given.get(name) ?? [];
  if (values.length > 0 && kind !== 'strings') {
    throw dockerfileError('FLAG_DUPLICATE', `duplicate flag specified: --${name}`, { word });
  }
  given.set(name, [...values, kind === 'bool' ? readBool(name, value, word) : readValue(name, value, word)]);
}

function splitFlag(word: string): { name: string; value: string | undefined } {
  const text = word.slice(2);
  const at = text.indexOf('=');
  return at < 0 ? { name: text, value: undefined } : { name: text.slice(0, at), value: text.slice(at + 1) };
}

function unknownFlag(name: string, word: string, spec: FlagSpec): Error {
  return dockerfileError('FLAG_UNKNOWN', didYouMean(`unknown flag: --${name}`, name, Object.keys(spec)), { word });
}

function readValue(name: string, value: string | undefined, word: string): string {
  if (value !== undefined) return value;
  throw dockerfileError('FLAG_NO_VALUE', `missing a value on flag: --${name}`, { word });
}

function readBool(name: string, value: string | undefined, word: string): string {
  if (value === undefined) return 'true';
  if (value === '') throw dockerfileError('FLAG_NO_VALUE', `missing a value on flag: --${name}`, { word });
  const lower = value.toLowerCase();
  if (lower === 'true' || lower === 'false') return lower;
  throw dockerfileError('FLAG_NOT_BOOL', `expecting boolean value for flag --${name}, not: ${value}`, { word });
}
