import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { createPatternMatcher, parseIgnoreFile } from '../../frontend/dockerignore.ts';
import { atRange } from '../../frontend/errors.ts';
import { renderExcerpt } from '../../frontend/excerpt.ts';
import type { Instruction } from '../../frontend/instruction.ts';
import { parseDockerfile } from '../../frontend/parse.ts';
import { parseMount, resolveMountTarget } from '../../frontend/run-mount.ts';
import { EMPTY_ENV, expandWord } from '../../frontend/shell-words.ts';
import type { SourceFile } from '../../frontend/source-file.ts';
import { TsbuildError, TsbuildErrors } from '../../solver/errors.ts';
import { CORPORA, corpusPath, hasCorpora, readCorpus } from './shared.ts';

interface ErrorCase {
  readonly case: string;
  readonly dockerfile: string;
  readonly exit: number;
  readonly error: string;
  readonly excerpt: string;
}

/** Errors that need more than the Dockerfile's text: stages, images, the build context, or a run. */
const OTHER_ROOMS = new Set([
  ...['add-bad-checksum', 'add-checksum-local', 'add-url-refused', 'arg-then-run', 'circular', 'copy-bad-chmod'],
  ...[
    'copy-dir-on-file',
    'copy-from-bad-number',
    'copy-from-missing-path',
    'copy-from-self',
    'copy-from-unknown-stage',
  ],
  ...['copy-ignored', 'copy-missing', 'copy-missing-typo', 'copy-url', 'expose-bad', 'expose-bad-range'],
  ...['from-bad-digest', 'from-bad-platform', 'from-bad-ref', 'from-blank-var', 'from-missing-stage-as-image'],
  ...['from-missing-tag', 'from-unreachable', 'heredoc-run-fails', 'no-from', 'run-bad-user', 'run-exec-not-found'],
  ...['run-fails', 'run-host-network', 'run-insecure', 'run-mount-missing-from', 'run-mount-missing-source'],
  ...['run-no-shell', 'run-not-found', 'run-secret-required', 'run-ssh-missing', 'stopsignal-bad', 'tab-heredoc'],
  ...['target-unknown', 'bad-dockerignore'],
]);

/** The corpus keeps no more of an excerpt. */
const RECORDED_LENGTH = 1200;

const cases = hasCorpora
  ? readdirSync(corpusPath('errors')).map((name): ErrorCase => JSON.parse(readCorpus(`errors/${name}`)))
  : [];

describeNeeding([CORPORA], 'the errors corpus', () => {
  test('names every case that other rooms answer', () => {
    const names = new Set(cases.map((one) => one.case));
    expect([...OTHER_ROOMS].filter((name) => !names.has(name))).toEqual([]);
  });

  test.each(cases.filter((one) => one.exit !== 0 && !OTHER_ROOMS.has(one.case)))('$case', (one) => {
    const file = fileOf(one);
    const [error] = errorsOf(file);
    expect(error?.message).toBe(one.error.replace(/^error: failed to solve: /, ''));
    if (one.excerpt === '') return;
    const excerpt = error?.range && renderExcerpt(file, error.range);
    expect(excerpt?.slice(0, RECORDED_LENGTH)).toBe(one.excerpt);
  });

  test.each(cases.filter((one) => one.exit === 0 || OTHER_ROOMS.has(one.case)))(
    '$case has no fault in its text',
    (one) => {
      expect(errorsOf(fileOf(one)).map(({ message }) => message)).toEqual([]);
    },
  );
});

function fileOf({ dockerfile }: ErrorCase): SourceFile {
  const text = dockerfile.replace(/<(\d+) times x>/, (_, count) => 'x'.repeat(Number(count)));
  return { name: 'Dockerfile', text };
}

/** What the text alone shows: splitting, flags, words with no variable set, mounts; and the case's ignore file. */
function errorsOf(file: SourceFile): readonly TsbuildError[] {
  try {
    const { instructions } = parseDockerfile(file);
    for (const instruction of instructions) atRange(instruction.range, () => readValues(instruction));
    return [];
  } catch (error) {
    if (error instanceof TsbuildErrors) return error.errors;
    if (error instanceof TsbuildError) return [error];
    throw error;
  }
}

function readValues(instruction: Instruction): void {
  if (instruction.kind === 'ENV') for (const { value } of instruction.pairs) expandWord(value, EMPTY_ENV);
  if (instruction.kind !== 'RUN') return;
  for (const text of instruction.mounts) {
    const { type, target } = parseMount(text);
    if (type !== 'secret' && type !== 'ssh') resolveMountTarget(target, '/');
  }
}

test('a bare exclamation mark is refused', () => {
  expect(() => parseIgnoreFile('a\n!\n')).toThrow('illegal exclusion pattern: "!"');
  expect(() => createPatternMatcher(['!'])).toThrow('illegal exclusion pattern: "!"');
});
