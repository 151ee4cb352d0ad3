import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cpuTimeMs } from '../cpu-time.ts';
import { describeNeeding } from '../needs.ts';
import {
  createPatternMatcher,
  type IgnoreState,
  parseIgnoreFile,
  readIgnoreFile,
} from '../../frontend/dockerignore.ts';
import { matchGlob } from '../../frontend/match-glob.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { CORPORA, hasCorpora, readCorpus } from './shared.ts';

interface PatternRows {
  readonly pattern_text_match: readonly [string, string, boolean][];
  readonly patterns_text_match: readonly [string[], string, boolean][];
  readonly filepath_match: readonly [string, string, boolean, boolean][];
}

describeNeeding([CORPORA], 'the dockerignore corpus', () => {
  const rows: PatternRows = hasCorpora
    ? JSON.parse(readCorpus('dockerignore/patterns.json'))
    : { pattern_text_match: [], patterns_text_match: [], filepath_match: [] };

  test('has all its rows', () => {
    const { pattern_text_match: one, patterns_text_match: several, filepath_match: globs } = rows;
    expect(one.length + several.length + globs.length).toBe(111);
  });

  test.each(rows.pattern_text_match)('%s on %s', (pattern, path, expected) => {
    expect(createPatternMatcher([pattern]).matches(path)).toBe(expected);
  });

  test.each(rows.patterns_text_match)('%j on %s', (patterns, path, expected) => {
    expect(createPatternMatcher(patterns).matches(path)).toBe(expected);
    expect(walkTo(createPatternMatcher(patterns).root(), path)).toBe(expected);
  });

  /** patternmatcher's own test asks its matcher, where a parent's match counts; filepath.Match knows no parents. */
  const parentQuirk = (pattern: string, name: string) => pattern === 'a*' && name === 'ab/c';

  test.each(rows.filepath_match)('glob %s on %s', (pattern, name, expected, isError) => {
    if (isError) {
      expect(() => matchGlob(pattern, name)).toThrow('syntax error in pattern');
      expect(() => createPatternMatcher([pattern])).toThrow('syntax error in pattern');
      return;
    }
    expect(matchGlob(pattern, name)).toBe(parentQuirk(pattern, name) ? false : expected);
    expect(createPatternMatcher([pattern]).matches(name)).toBe(expected);
  });
});

function walkTo(root: IgnoreState, path: string): boolean {
  const names = path.split('/');
  const last = names.pop() ?? '';
  return names.reduce((state, name) => state.enter(name), root).excludes(last);
}

test('an ignore file is trimmed and cleaned, comments only count in the first column', () => {
  const text = '\ufefftest1\n/test2\n /a//file/./here/ \n\nlastfile\r\n# comment\n #not\n! /inverted/abs/path\n/\n';
  expect(readIgnoreFile(text)).toEqual([
    { pattern: 'test1', line: 1 },
    { pattern: 'test2', line: 2 },
    { pattern: 'a/file/here', line: 3 },
    { pattern: 'lastfile', line: 5 },
    { pattern: '#not', line: 7 },
    { pattern: '!inverted/abs/path', line: 8 },
    { pattern: '/', line: 9 },
  ]);
  expect(parseIgnoreFile('a/../b\n')).toEqual(['b']);
});

describe('patterns', () => {
  test.each([
    [['foo'], 'a/foo', false],
    [['foo'], 'foo/a', true],
    [['**/**/x'], 'a/b/x', true],
    [['a/**/b'], 'a/b', true],
    [['a/**/b'], 'a/x/y/b', true],
    [['a/**/b'], 'ab', false],
    [['a/**/b/**'], 'a/b/c', true],
    [['\\**'], '*x', true],
    [['\\**'], 'x', false],
    [['[*][*]'], '**', true],
    [['***'], 'a/b', true],
    [['./a'], 'a', true],
    [['.'], 'a', false],
    [['*', '!a', 'a/b'], 'a/b', true],
    [['*', '!a', 'a/b'], 'a/c', false],
    [['!a', 'a'], 'a', true],
    [['**'], '.', false],
    [['a+(b)'], 'a+(b)', true],
    [['*\u00e9?'], 'caf\u00e9\u{1f600}', true],
  ] as [string[], string, boolean][])('%j on %s: %s', (patterns, path, expected) => {
    expect(createPatternMatcher(patterns).matches(path)).toBe(expected);
  });

  test.each(['[', '[a', '[]a]', '[-]', '[x-]', 'a\\', '[a-b-c]'])('%s is a syntax error', (pattern) => {
    expect(() => createPatternMatcher([pattern])).toThrow('syntax error in pattern');
    expect(() => matchGlob(pattern, 'a')).toThrow('syntax error in pattern');
  });
});

test('the pattern that excludes a path is told with its line', () => {
  const matcher = createPatternMatcher(readIgnoreFile('# c\nlogs\n*.md\n!README.md\n\nlogs/keep\n'));
  expect(matcher.explain('logs/a/b')).toMatchObject({ pattern: 'logs', line: 2 });
  expect(matcher.explain('x.md')).toMatchObject({ pattern: '*.md', line: 3 });
  expect(matcher.explain('README.md')).toBeUndefined();
});

describe('a walk', () => {
  test('says of an excluded directory whether something in it may come back', () => {
    const root = createPatternMatcher(['*', '!src/*/keep', '!*.md', '!docs/**', '!we*rd/x']).root();
    expect(root.excluded).toBe(false);
    const may = (name: string) => root.enter(name).mayHaveReincludedChildren;
    expect([may('src'), may('node_modules'), may('docs'), may('weird')]).toEqual([true, false, true, true]);
    expect(root.enter('src').enter('a').mayHaveReincludedChildren).toBe(true);
    expect(root.enter('src').enter('a').enter('b').mayHaveReincludedChildren).toBe(false);
    expect(root.enter('src').matchedPattern).toMatchObject({ pattern: '*', line: 1 });
  });

  const name = fc.constantFrom('a', 'b', 'ab', 'a.c', 'd');
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'));
  const part = fc.constantFrom('a', 'b', '*', '**', 'a*', '?', '[ab]', '*.c', '**b', '[^a]');
  const pattern = fc
    .tuple(fc.constantFrom('', '', '!'), fc.array(part, { minLength: 1, maxLength: 3 }))
    .map(([mark, parts]) => mark + parts.join('/'));

  test('agrees with matching whole paths, and never prunes what comes back', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 5 }), path, (patterns, target) => {
        const matcher = createPatternMatcher(patterns);
        expect(walkTo(matcher.root(), target)).toBe(matcher.matches(target));
        let state = matcher.root();
        for (const dir of target.split('/').slice(0, -1)) {
          state = state.enter(dir);
          if (state.excluded && !state.mayHaveReincludedChildren) expect(matcher.matches(target)).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('of 50,000 files with twelve patterns takes well under a second', () => {
    const patterns = [
      'node_modules',
      '**/*.log',
      '**/.git',
      '!keep.log',
      'dist/**',
      '*.md',
      '**/a?c/*',
      'x/y/z',
      '**/tmp',
    ];
    const root = createPatternMatcher([...patterns, '!README.md', 'src/*/gen', '**/*.py[co]']).root();
    let excluded = 0;
    const tookMs = cpuTimeMs(() => {
      for (let dir = 0; dir < 500; dir += 1) {
        const state = root.enter('src').enter(`package${dir}`);
        for (let file = 0; file < 100; file += 1)
          if (state.excludes(`file${file}.${file % 10 ? 'js' : 'log'}`)) excluded += 1;
      }
    });
    expect(excluded).toBe(5000);
    expect(tookMs).toBeLessThan(500);
  });
});

test('patterns of any text are refused or answer soon', () => {
  const text = fc.string({ unit: fc.constantFrom(...'*?[]^-\\/!ab.') });
  fc.assert(
    fc.property(fc.array(text), text, (patterns, target) => {
      const tookMs = cpuTimeMs(() => {
        try {
          createPatternMatcher(patterns).matches(target);
        } catch (error) {
          if (!(error instanceof TsbuildError)) throw error;
        }
      });
      expect(tookMs).toBeLessThan(1000);
    }),
    { numRuns: 3000 },
  );
});

test('patterns of many stars match what they should, and answer soon', () => {
  const matches = (pattern: string, path: string): boolean => createPatternMatcher([pattern]).matches(path);
  expect(matches('*a*b*c*d', 'xaxbxcxd')).toBe(true);
  expect(matches('*a*b*c*d', 'xaxb/xcxd')).toBe(false);
  expect(matches('a*/**/b*/**/c?[de]*', 'a1/b2/c3d')).toBe(true);
  expect(matches('a*/**/b*/**/c?[de]*', 'a1/x/y/b2/z/c3e.txt')).toBe(true);
  expect(matches('a*/**/b*/**/c?[de]*', 'a1/x/y/c3e.txt')).toBe(false);
  expect(matches('**/*a*/x**', 'p/q/bab/x/y/z')).toBe(true);
  const tookMs = cpuTimeMs(() => {
    expect(matches(`${'*a'.repeat(20)}*b?`, 'a'.repeat(250))).toBe(false);
    expect(matches(`${'**/*a*/'.repeat(10)}*b?`, 'a/'.repeat(500))).toBe(false);
    expect(matchGlob(`${'*a'.repeat(20)}*b`, 'a'.repeat(250))).toBe(false);
  });
  expect(tookMs).toBeLessThan(1000);
});
