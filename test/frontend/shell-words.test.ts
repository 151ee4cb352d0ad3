// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts under test are full of them
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { EMPTY_ENV, expandHeredoc, expandWord, expandWords } from '../../frontend/shell-words.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { envOf } from './env-of.ts';
import { CORPORA, readCorpus } from './shared.ts';

const corpusEnv = envOf({ PWD: '/home', SHELL: 'bash', KOREAN: '한국어', NULL: '' });

describeNeeding([CORPORA], 'the shell-words corpus', () => {
  test('every expansion of envVarTest that applies here', () => {
    const rows = readCorpus('shell-words/envVarTest')
      .split('\n')
      .map((line) => line.replace(/#.*$/, (comment, at) => (at === 0 ? '' : comment)))
      .filter((line) => line.trim() !== '')
      .map((line) => line.split('|').map((part) => part.trim()))
      .filter(([platform]) => platform !== 'W');
    expect(rows.length).toBeGreaterThan(200);
    const wrong = rows.filter(([, input = '', expected = '']) => outcome(input) !== expected);
    expect(wrong).toEqual([]);
  });

  test('every splitting of wordsTest', () => {
    const env: Record<string, string> = {};
    const wrong: unknown[] = [];
    let count = 0;
    for (const line of readCorpus('shell-words/wordsTest').split('\n')) {
      if (line.startsWith('#') || line === '') continue;
      if (line.startsWith('ENV ')) {
        const [key = '', value = ''] = line.slice(4).replace(/^ +/, '').split(/=(.*)/s);
        env[key] = value;
        continue;
      }
      const [input = '', expected = ''] = line.split('|');
      const actual = splitOutcome(input.trim(), env);
      count += 1;
      if (actual !== expected.replace(/^ +/, '')) wrong.push({ line, actual });
    }
    expect(wrong).toEqual([]);
    expect(count).toBe(24);
  });
});

function outcome(input: string): string {
  try {
    return expandWord(input, corpusEnv).value;
  } catch (error) {
    if (error instanceof TsbuildError) return 'error';
    throw error;
  }
}

function splitOutcome(input: string, env: Record<string, string>): string {
  try {
    return expandWords(input, envOf(env)).words.join(',');
  } catch (error) {
    if (error instanceof TsbuildError) return 'error';
    throw error;
  }
}

describe('modifiers', () => {
  const env = envOf({ v: 'foobarfoo', path: '/usr/local/bin', star: 'a*b', empty: '', uni: '日本語本' });
  const cases: [string, string][] = [
    ['${v#foo}', 'barfoo'],
    ['${v#f*o}', 'obarfoo'],
    ['${v##f*o}', ''],
    ['${v%foo}', 'foobar'],
    ['${v%f*}', 'foobar'],
    ['${v%%f*}', ''],
    ['${path##*/}', 'bin'],
    ['${path%/*}', '/usr/local'],
    ['${v/foo/x}', 'xbarfoo'],
    ['${v//foo/x}', 'xbarx'],
    ['${v//o/}', 'fbarf'],
    ['${v/[a]/x}', 'foobarfoo'],
    ['${star#a\\*}', 'b'],
    ['${star/\\*/-}', 'a-b'],
    ['${path//\\//_}', '_usr_local_bin'],
    ['${v//o/<\\$0>}', 'f<\\o><\\o>barf<\\o><\\o>'],
    ['${v//o/$1}', 'fbarf'],
    ['${uni%本}', '日本語'],
    ['${uni#?}', '本語本'],
    ['${nope#x}', ''],
    ['${v//x*/-}', 'foobarfoo'],
    ['${empty:-d}', 'd'],
    ['${empty-d}', ''],
    ['${empty:+d}', ''],
    ['${empty+d}', 'd'],
  ];
  test.each(cases)('%s is %s', (input, expected) => {
    expect(expandWord(input, env).value).toBe(expected);
  });
});

describe('errors', () => {
  const cases: [string, string][] = [
    ['${B:#x}', 'failed to process "${B:#x}": unsupported modifier (:#) in substitution'],
    ['${B', 'failed to process "${B": unsupported modifier (\ufffd) in substitution'],
    ['${B:-x', 'failed to process "${B:-x": syntax error: missing \'}\''],
    ['${', 'failed to process "${": syntax error: missing \'}\''],
    ['${}', 'failed to process "${}": syntax error: bad substitution'],
    ['${B:?need B}', 'failed to process "${B:?need B}": B: need B'],
    ['${B?}', 'failed to process "${B?}": B: is not allowed to be unset'],
    ['${E:?}', 'failed to process "${E:?}": E: is not allowed to be empty'],
    ['${E=x}', 'failed to process "${E=x}": unsupported modifier (=) in substitution'],
    ['${E/x}', 'failed to process "${E/x}": syntax error: missing \'/\' in ${}'],
    ['${E#\\x}', 'failed to process "${E#\\\\x}": invalid pattern (\\x) in substitution: invalid escape \'\\x\''],
    ["'x", 'failed to process "\'x": unexpected end of statement while looking for matching single-quote'],
    ['"x', 'failed to process "\\"x": unexpected end of statement while looking for matching double-quote'],
  ];
  test.each(cases)('%s', (input, message) => {
    expect(() => expandWord(input, envOf({ E: '' }))).toThrow(message);
  });
});

test('names that were set and names that were not are told apart', () => {
  const { value, used, unmatched } = expandWord('$A${B:-$C}${A+x}', envOf({ A: '1' }));
  expect(value).toBe('1x');
  expect([...used]).toEqual(['A']);
  expect([...unmatched]).toEqual(['C', 'B']);
});

test('a backtick as escape leaves backslashes alone', () => {
  expect(expandWord('C:\\dir`$x', EMPTY_ENV, { escape: '`' }).value).toBe('C:\\dir$x');
});

test("a heredoc's body keeps quotes and expands inside them", () => {
  const body = 'cost $V ${HOME:-nohome} \\$esc "q" \'sq $V\'\n';
  expect(expandHeredoc(body, envOf({ V: '5' })).value).toBe('cost 5 nohome $esc "q" \'sq 5\'\n');
});

test('expansion ends with a value or a TsbuildError, whatever the text', () => {
  const text = fc.string({ unit: fc.constantFrom(...'${}:-+?#%/\\*\'" `abA1@\nä') });
  fc.assert(
    fc.property(text, (input) => {
      try {
        expandWords(input, envOf({ a: 'x y', A: '' }));
      } catch (error) {
        if (!(error instanceof TsbuildError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

describe('substitutions nested 20,000 deep', () => {
  const nest = (opening: string, closing: string, middle: string) =>
    opening.repeat(20_000) + middle + closing.repeat(20_000);

  test.each([
    ['${a:-', '}'],
    ['"${a:-', '}"'],
    ['${b+', '}'],
  ])('%s is expanded', (opening, closing) => {
    expect(expandWord(nest(opening, closing, '$b'), envOf({ b: 'x' })).value).toBe('x');
    expect(expandWords(nest(opening, closing, '$b'), envOf({ b: 'x y' })).words.join(' ')).toBe('x y');
  });

  test('one that is not closed is the usual error', () => {
    const text = '${a:-'.repeat(20_000);
    expect(() => expandWord(text, EMPTY_ENV)).toThrow(`failed to process "${text}": syntax error: missing '}'`);
  });
});

test('a text that variables make far longer than it is written is refused', () => {
  const env = envOf({ a: 'x'.repeat(100_000) });
  expect(expandWord('$a'.repeat(41), env).value).toHaveLength(4_100_000);
  for (const expandAny of [expandWord, expandWords]) {
    expect(() => expandAny('$a'.repeat(43), env)).toThrow(/: it becomes more than 4194304 characters longer$/);
  }
  const body = 'y'.repeat(5_000_000);
  expect(expandHeredoc(body, env).value).toBe(body);
});
