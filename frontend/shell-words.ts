// Quotes, escapes and variables of one piece of Dockerfile text, by the rules of BuildKit's shell lexer. These are not
// bash's rules: single quotes are literal, double quotes unescape three characters, a lone escape at the end is dropped.
import { dockerfileError } from './errors.ts';
import { quoteGo } from './go-text.ts';
import { type Nested, runNested } from './run-nested.ts';
import { type Part, type Read, type ReadRequest, WordList } from './shell-words-list.ts';
import { replacePattern, trimPrefix, trimSuffix } from './shell-words-pattern.ts';

/** The variables in sight. `get` answers undefined for one that is not set, the empty text for an empty one. */
export interface EnvLookup {
  get(name: string): string | undefined;
  keys(): Iterable<string>;
}

/** All off by default: quotes and escapes are resolved, and what is not set is empty. */
export interface ExpandOptions {
  /** The character of `# escape=`; default backslash. */
  readonly escape?: '\\' | '`';
  /** Keep the quotes in the result. */
  readonly rawQuotes?: boolean;
  /** Keep the escape characters in the result. */
  readonly rawEscapes?: boolean;
  /** Quotes are ordinary characters, as in a heredoc's body. */
  readonly skipProcessQuotes?: boolean;
  /** A variable that is not set stays as it is written. */
  readonly skipUnsetEnv?: boolean;
}

/** The text after expansion, and the names it asked for: `used` were set, `unmatched` were not. */
export interface ExpandedWord {
  readonly value: string;
  readonly used: ReadonlySet<string>;
  readonly unmatched: ReadonlySet<string>;
}

/** The words after expansion; unquoted blanks that came out of variables split too. */
export interface ExpandedWords {
  readonly words: readonly string[];
  readonly used: ReadonlySet<string>;
  readonly unmatched: ReadonlySet<string>;
}

/** No variables at all. */
export const EMPTY_ENV: EnvLookup = { get: () => undefined, keys: () => [] };

/** BuildKit's ProcessWord. Throws TSB_DOCKERFILE_EXPANSION: `failed to process "${B:#x}": unsupported modifier …`. */
export function expandWord(text: string, env: EnvLookup, options: ExpandOptions = {}): ExpandedWord {
  const { value, used, unmatched } = expand(text, env, options);
  return { value, used, unmatched };
}

/** BuildKit's ProcessWords: expands, then splits. Same errors as {@link expandWord}. */
export function expandWords(text: string, env: EnvLookup, options: ExpandOptions = {}): ExpandedWords {
  const { words, used, unmatched } = expand(text, env, options);
  return { words, used, unmatched };
}

/** A heredoc's body: quotes stay, variables expand even inside them, the escape is always a backslash. */
export function expandHeredoc(body: string, env: EnvLookup): ExpandedWord {
  return expandWord(body, env, { skipProcessQuotes: true });
}

interface Expansion extends ExpandedWord, ExpandedWords {}

function expand(text: string, env: EnvLookup, options: ExpandOptions): Expansion {
  const lexer = new ShellLexer(text, env, options);
  const all = { stop: undefined, rawEscapes: options.rawEscapes === true };
  const { value, words } = runNested(lexer.read(all), (inner) => lexer.read(inner));
  return { value, words: words.finish(), used: lexer.used, unmatched: lexer.unmatched };
}

/** How much longer than it is written a text may become: variables made of variables double at every step. */
const MAX_GROWTH = 1 << 22;
const SPECIAL_PARAMETERS = '@*#?-$!0';
const LETTER = /^\p{L}$/u;
const DIGIT = /^\p{Nd}$/u;
/** What BuildKit shows for the end of the text. */
const END = '\ufffd';
const END_HINT = 'close the substitution with }';

/** One pass over one text; the cursor moves through it character by character. */
class ShellLexer {
  readonly used = new Set<string>();
  readonly unmatched = new Set<string>();
  private readonly text: string;
  private readonly env: EnvLookup;
  private readonly options: ExpandOptions;
  private readonly escape: string;
  private rawEscapes = false;
  private quoted: string | undefined;
  private at = 0;

  constructor(text: string, env: EnvLookup, options: ExpandOptions) {
    this.text = text;
    this.env = env;
    this.options = options;
    this.escape = options.escape ?? '\\';
  }

  *read({ stop, rawEscapes }: ReadRequest): Nested<ReadRequest, Read> {
    const outer = this.rawEscapes;
    this.rawEscapes = rawEscapes;
    const words = new WordList();
    let value = '';
    const quotes = this.options.skipProcessQuotes === true ? '' : '\'"';
    for (let char = this.peek(); char !== ''; char = this.peek()) {
      if (char === stop) {
        this.next();
        this.rawEscapes = outer;
        return { value, words };
      }
      value += char === '$' || quotes.includes(char) ? yield* this.readPart(char, words) : this.readChar(char, words);
      if (value.length > this.text.length + MAX_GROWTH) throw this.tooLong();
    }
    if (stop !== undefined) throw this.fail(`unexpected end of statement while looking for matching ${stop}`);
    this.rawEscapes = outer;
    return { value, words };
  }

  private *readPart(char: string, words: WordList): Part {
    if (char === '$') {
      const part = yield* this.readVariable();
      words.add(part);
      return part;
    }
    const part = char === "'" ? this.readSingleQuoted() : yield* this.readDoubleQuoted();
    words.addRaw(part);
    return part;
  }

  private readChar(char: string, words: WordList): string {
    this.next();
    if (char !== this.escape) {
      words.add(char);
      return char;
    }
    const part = (this.rawEscapes ? char : '') + this.next();
    if (part !== '') words.addRaw(part);
    return part;
  }

  private readSingleQuoted(): string {
    const quote = this.keptQuote(this.next());
    const end = this.text.indexOf("'", this.at);
    if (end < 0) throw this.fail('unexpected end of statement while looking for matching single-quote');
    const value = this.text.slice(this.at, end);
    this.at = end + 1;
    return quote + value + quote;
  }

  private *readDoubleQuoted(): Part {
    const quote = this.keptQuote(this.next());
    let value = quote;
    for (let char = this.peek(); char !== '"'; char = this.peek()) {
      if (char === '') throw this.fail('unexpected end of statement while looking for matching double-quote');
      value += char === '$' ? yield* this.readVariable() : this.readQuotedChar(this.next());
    }
    this.next();
    return value + quote;
  }

  /** Inside double quotes an escape counts before `"`, `$` and itself; before the end of the text it is dropped. */
  private readQuotedChar(char: string): string {
    if (char !== this.escape) return char;
    const raw = this.rawEscapes ? char : '';
    const next = this.peek();
    if (next === '') return raw;
    return raw + ('"$'.includes(next) || next === this.escape ? this.next() : char);
  }

  private keptQuote(quote: string): string {
    return this.options.rawQuotes === true ? quote : '';
  }

  private *readVariable(): Part {
    this.next();
    if (this.peek() !== '{') {
      const name = this.readName();
      if (name === '') return '$';
      const value = this.lookUp(name);
      return value === undefined && this.options.skipUnsetEnv === true ? `$${name}` : (value ?? '');
    }
    this.next();
    const first = this.peek();
    if (first === '') throw this.fail("syntax error: missing '}'");
    if ('{}:'.includes(first)) throw this.fail('syntax error: bad substitution');
    return yield* this.readSubstitution(this.readName());
  }

  private *readSubstitution(name: string): Part {
    const char = this.next();
    if (char === '}') {
      const value = this.lookUp(name);
      return value === undefined && this.options.skipUnsetEnv === true ? `\${${name}}` : (value ?? '');
    }
    if (char === '/') return yield* this.readReplacement(name);
    if (char === ':') return yield* this.readModifier(name, this.next(), ':');
    if (char !== '' && '+-?#%'.includes(char)) return yield* this.readModifier(name, char, '');
    throw this.unsupported(char);
  }

  private *readModifier(name: string, modifier: string, colon: string): Part {
    const word = yield* this.readUntil('}', modifier === '#' || modifier === '%', "syntax error: missing '}'");
    const value = this.lookUp(name);
    if (value === undefined && this.options.skipUnsetEnv === true) return `\${${name}${colon}${modifier}${word}}`;
    const isMissing = value === undefined || (colon === ':' && value === '');
    if (modifier === '-') return isMissing ? word : value;
    if (modifier === '+') return isMissing ? '' : word;
    if (modifier === '?') {
      if (!isMissing) return value;
      const fallback = value === undefined ? 'is not allowed to be unset' : 'is not allowed to be empty';
      throw this.fail(`${name}: ${word === '' ? fallback : word}`);
    }
    if (colon === '' && (modifier === '#' || modifier === '%')) return this.trim(modifier, word, value ?? '');
    throw this.unsupported(colon + modifier);
  }

  private trim(modifier: string, word: string, value: string): string {
    const isLongest = word.startsWith(modifier);
    const pattern = isLongest ? word.slice(1) : word;
    const trimmed = (modifier === '#' ? trimPrefix : trimSuffix)(pattern, value, isLongest);
    if (trimmed.problem === undefined) return trimmed.value;
    throw this.fail(`invalid pattern (${trimmed.pattern}) in substitution: ${trimmed.problem}`);
  }

  private *readReplacement(name: string): Part {
    const isAll = this.peek() === '/';
    if (isAll) this.next();
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the substitution's own form
    const pattern = yield* this.readUntil('/', true, "syntax error: missing '/' in ${}");
    const replacement = yield* this.readUntil('}', true, "syntax error: missing '}'");
    const value = this.lookUp(name);
    if (value === undefined && this.options.skipUnsetEnv === true) return `\${${name}/${pattern}/${replacement}}`;
    const replaced = replacePattern(pattern, value ?? '', replacement, isAll);
    if (replaced.problem === undefined) return replaced.value;
    throw this.fail(`invalid pattern (${pattern}) in substitution: ${replaced.problem}`);
  }

  /** A nested text up to `stop`; when the whole text ends before it, `missing` is the error. */
  private *readUntil(stop: string, rawEscapes: boolean, missing: string): Part {
    try {
      return (yield { stop, rawEscapes })?.value ?? '';
    } catch (error) {
      if (this.at < this.text.length) throw error;
      throw this.fail(missing);
    }
  }

  private readName(): string {
    const first = this.peek();
    if (DIGIT.test(first)) return this.readWhile((char) => DIGIT.test(char));
    if (first !== '' && SPECIAL_PARAMETERS.includes(first)) return this.next();
    return this.readWhile((char) => char === '_' || LETTER.test(char) || DIGIT.test(char));
  }

  private readWhile(accepts: (char: string) => boolean): string {
    const start = this.at;
    for (let char = this.peek(); char !== '' && accepts(char); char = this.peek()) this.next();
    return this.text.slice(start, this.at);
  }

  private lookUp(name: string): string | undefined {
    const value = this.env.get(name);
    (value === undefined ? this.unmatched : this.used).add(name);
    return value;
  }

  private peek(): string {
    const code = this.text.codePointAt(this.at);
    return code === undefined ? '' : String.fromCodePoint(code);
  }

  private next(): string {
    const char = this.peek();
    this.at += char.length;
    return char;
  }

  private unsupported(modifier: string): Error {
    const isEnd = this.at >= this.text.length;
    const shown = modifier === '' || modifier === ':' ? modifier + END : modifier;
    return this.fail(`unsupported modifier (${shown}) in substitution`, isEnd && shown.endsWith(END) ? END_HINT : '');
  }

  private tooLong(): Error {
    return this.fail(`it becomes more than ${MAX_GROWTH} characters longer`, 'check what the variables in it hold');
  }

  private fail(problem: string, hint = ''): Error {
    this.quoted ??= quoteGo(this.text);
    const message = `failed to process ${this.quoted}: ${problem}`;
    return dockerfileError('EXPANSION', message, { word: this.text, ...(hint === '' ? {} : { hint }) });
  }
}
