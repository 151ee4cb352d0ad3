import { describe, expect, test } from 'vitest';
import { detectSyntax } from '../../frontend/directives.ts';
import { parseDuration } from '../../frontend/duration.ts';
import { renderExcerpt } from '../../frontend/excerpt.ts';
import { extractFlags, readFlags } from '../../frontend/flags.ts';
import { quoteGo, trimSpace } from '../../frontend/go-text.ts';
import { findHeredocWords, isLoneHeredoc, joinHeredocs } from '../../frontend/heredoc.ts';
import { parseJSONForm } from '../../frontend/json-form.ts';
import { lineRange } from '../../frontend/source-file.ts';
import { suggest } from '../../frontend/suggest.ts';

describe('flags', () => {
  test('resolve quotes and backslashes, and end at `--`', () => {
    expect(extractFlags(`--a="b c" --d='e'f\\ g -- --h`)).toEqual({ flags: ['--a=b c', '--d=ef g'], rest: ' --h' });
    expect(extractFlags('a --b')).toEqual({ flags: [], rest: 'a --b' });
    expect(extractFlags('--a')).toEqual({ flags: ['--a'], rest: '' });
  });

  test.each([
    [['--a=1', '--a=2'], 'duplicate flag specified: --a'],
    [['--mout=1'], 'unknown flag: --mout (did you mean mount?)'],
    [['--constructor'], 'unknown flag: --constructor'],
    [['--a'], 'missing a value on flag: --a'],
    [['--b='], 'missing a value on flag: --b'],
    [['--b=x'], 'expecting boolean value for flag --b, not: x'],
  ])('%j', (words, message) => {
    expect(() => readFlags(words, { a: 'string', b: 'bool', mount: 'strings' })).toThrow(message);
  });

  test('give their values', () => {
    const flags = readFlags(['--b', '--mount=1', '--mount=2', '--a='], {
      a: 'string',
      b: 'bool',
      c: 'bool',
      mount: 'strings',
    });
    expect([flags.bool('b'), flags.bool('c'), flags.string('a'), flags.strings('mount')]).toEqual([
      true,
      undefined,
      '',
      ['1', '2'],
    ]);
  });
});

test('a suggestion is at most two edits away and keeps the case', () => {
  expect(suggest('form', ['chown', 'from'])).toBe('from');
  expect(suggest('frmo', ['FROM'])).toBeUndefined();
  expect(suggest('copyy', ['COPY'], { ignoreCase: true })).toBe('copy');
  expect(suggest('Coppy', ['COPY'], { ignoreCase: true })).toBe('copy');
  expect(suggest('FROBNICATE', ['FROM'], { ignoreCase: true })).toBeUndefined();
  expect(suggest('from', ['from', 'fron'])).toBeUndefined();
});

describe('durations', () => {
  test.each([
    ['1h30m', 5400e9],
    ['1.5s', 1.5e9],
    ['-2ms', -2e6],
    ['0', 0],
    ['+5us', 5e3],
    ['3µs', 3e3],
    ['.5m', 30e9],
  ])('%s', (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });

  test.each([
    ['foo', 'time: invalid duration "foo"'],
    ['', 'time: invalid duration ""'],
    ['5', 'time: missing unit in duration "5"'],
    ['5x', 'time: unknown unit "x" in duration "5x"'],
    ['.s', 'time: invalid duration ".s"'],
    ['9999999999h', 'time: invalid duration "9999999999h"'],
  ])('%j is refused', (text, message) => {
    expect(() => parseDuration(text)).toThrow(message);
  });
});

describe('heredoc words', () => {
  test('are found where a shell would see them', () => {
    const found = findHeredocWords(`RUN cat <<A 3<<-"B C" '<<D' "<<E" <<<F x<<G <<`).map(({ name }) => name);
    expect(found).toEqual(['A', 'B C']);
  });

  test('may be the whole command, or the shell reads them itself', () => {
    expect([isLoneHeredoc('<<-EOF'), isLoneHeredoc('<<EOF cat'), isLoneHeredoc('<<')]).toEqual([true, false, false]);
    const heredoc = { name: 'E', expand: true, chomp: true, fileDescriptor: 0, body: 'a\n', rawBody: '\ta\n' };
    expect(joinHeredocs('cat <<-E', [heredoc])).toBe('cat <<-E\n\ta\nE');
  });
});

test('the syntax is found in its three forms', () => {
  expect(detectSyntax('# syntax = a/b:1 x\n')).toBe('a/b:1');
  expect(detectSyntax('#!/usr/bin/x\n# escape=`\n#SYNTAX=a\n')).toBe('a');
  expect(detectSyntax('// syntax=a\n{}')).toBe('a');
  expect(detectSyntax('{"syntax": "a"}')).toBe('a');
  expect(detectSyntax('FROM a\n# syntax=b\n')).toBeUndefined();
});

test('JSON form is an array of strings or not JSON form at all', () => {
  expect(parseJSONForm(' ["a", "\\u00e9"] ')).toEqual(['a', 'é']);
  expect([parseJSONForm('["a",]'), parseJSONForm("['a']"), parseJSONForm('"a"')]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(() => parseJSONForm('["a", 1]')).toThrow(
    'when using JSON array syntax, arrays must be comprised of strings only',
  );
});

test('text is quoted and trimmed as Go does', () => {
  expect(quoteGo('a"\\\n\x07\x00é\u200b\u{1f600}\u{e0001}')).toBe('"a\\"\\\\\\n\\a\\x00é\\u200b😀\\U000e0001"');
  expect(trimSpace('\u0085\u2003 a b \v\u3000')).toBe('a b');
  expect(trimSpace('\ufeffa')).toBe('\ufeffa');
});

test('an excerpt shows more around one line than around several, and less at the edges', () => {
  const file = { name: 'D', text: 'a\nb\nc\nd\ne\nf\ng' };
  const linesOf = (first: number, last: number) =>
    renderExcerpt(file, lineRange(file, first, last))
      .split('\n')
      .filter((line) => line.includes('|'))
      .map((line) => line.replace(/^ +|(?<=\|) {5}/g, '').replace('| >>> ', '>'));
  expect(linesOf(4, 4)).toEqual(['2 |b', '3 |c', '4 >d', '5 |e', '6 |f']);
  expect(linesOf(4, 5)).toEqual(['3 |c', '4 >d', '5 >e', '6 |f']);
  expect(linesOf(1, 1)).toEqual(['1 >a', '2 |b', '3 |c']);
  expect(renderExcerpt(file, lineRange(file, 9, 9))).toBe('');
});
