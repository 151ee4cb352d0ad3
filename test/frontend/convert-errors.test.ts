// What is refused while stages are planned and converted: text, place and how many.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { renderExcerpt } from '../../frontend/excerpt.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { convertText, errorsOf, messageOf } from './convert-dockerfile.ts';
import { FakeImageResolver } from './fake-image-resolver.ts';

interface ErrorCase {
  readonly case: string;
  readonly dockerfile: string;
  readonly error: string;
  readonly excerpt: string;
  readonly exit: number;
  readonly options?: string;
}

const errors = new URL('../../../shared/corpora/errors/', import.meta.url);
const hasErrors = existsSync(errors);

/** Cases whose error comes from planning or converting; the others are the parser's, the resolver's or a step's. */
const CONVERSION_CASES = [
  ...['add-bad-checksum', 'add-checksum-local', 'arg-then-run', 'copy-bad-chmod', 'copy-from-bad-number'],
  ...['copy-from-self', 'copy-from-unknown-stage', 'copy-url', 'env-bad-subst', 'env-unclosed', 'expose-bad'],
  ...['expose-bad-range', 'from-bad-platform', 'from-bad-ref', 'from-blank-var', 'no-from', 'run-mount-bad-key'],
  ...['run-mount-bad-mode', 'run-mount-bad-sharing', 'run-mount-bad-size', 'run-mount-bad-type'],
  ...['run-mount-missing-from', 'run-mount-no-target', 'run-mount-root', 'stopsignal-bad', 'target-unknown'],
  ...['volume-empty'],
];

/** Accepted as far as the frontend goes. */
const GOOD_CASES = ['cmd-ok-badjson', 'copy-from-later', 'run-empty', 'unused-broken-stage', 'onbuild-unknown'];

const busybox = () => new FakeImageResolver({ '127.0.0.1:5000/library/busybox:latest': {} });

function readCase(name: string): ErrorCase {
  return JSON.parse(readFileSync(new URL(`${name}.json`, errors), 'utf8')) as ErrorCase;
}

describeNeeding([errors], 'BuildKit’s errors', () => {
  test.each(CONVERSION_CASES)('%s has BuildKit’s text and place', async (name) => {
    const one = readCase(name);
    const [error, ...others] = await errorsOf(one.dockerfile, {
      resolver: busybox(),
      target: one.options?.replace('--target ', ''),
    });
    expect(others).toEqual([]);
    const expected = one.error
      .replace('error: failed to solve: ', '')
      .replace(/^dockerfile parse error on line \d+: /, '');
    expect(error?.message.replace(/^dockerfile parse error on line \d+: /, '')).toBe(expected);
    if (one.excerpt === '') return;
    expect(error?.range).toBeDefined();
    if (error?.range === undefined) return;
    expect(renderExcerpt({ name: 'Dockerfile', text: one.dockerfile }, error.range)).toBe(one.excerpt);
  });

  test.each(GOOD_CASES.filter((name) => hasErrors && readdirSync(errors).includes(`${name}.json`)))(
    '%s is accepted',
    async (name) => {
      const { definition } = await convertText(readCase(name).dockerfile, { resolver: busybox() });
      expect(definition.head).toBeDefined();
    },
  );
});

describe('stages', () => {
  test('FROM finds an earlier stage by its lower-cased name only', async () => {
    expect(await messageOf('FROM scratch AS Base\nFROM Base\n')).toBe(
      'failed to parse stage name "Base": invalid reference format: repository name (library/Base) must be lowercase',
    );
  });

  test('a FROM that nearly names a stage gets a hint', async () => {
    const [later] = await errorsOf('FROM b AS a\nFROM a AS b\n');
    expect(later?.hint).toBe('the stage b comes later in the file: FROM only finds stages above it');
    const [upper] = await errorsOf('FROM scratch AS base\nFROM BASE\n');
    expect(upper?.hint).toBe('stage names are lower-case: write FROM base');
  });

  test('COPY --from and the target find a stage in any case', async () => {
    const text = 'FROM scratch AS Base\nCOPY a /\nFROM scratch AS last\nCOPY --from=BASE /a /b\n';
    await expect(convertText(text, { target: 'LAST' })).resolves.toBeDefined();
  });

  test('a number is no target', async () => {
    expect(await messageOf('FROM scratch AS base\n', { target: '0' })).toBe('target stage "0" could not be found');
  });

  test('a mistyped target gets the nearest name', async () => {
    expect(await messageOf('FROM scratch AS base\n', { target: 'bse' })).toBe(
      'target stage "bse" could not be found (did you mean base?)',
    );
  });

  test('only ARG before FROM is refused', async () => {
    expect(await messageOf('ARG A=1\n')).toBe('dockerfile contains no stages to build');
  });

  test('copying from a later stage is refused where it is needed', async () => {
    const text = 'FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY y /\n';
    expect(await messageOf(text, { target: 'a' })).toBe(
      'cannot copy from stage "b", it needs to be defined before current stage "a"',
    );
  });

  test('mounting from a later stage is refused where it is needed', async () => {
    const text = 'FROM scratch AS a\nRUN --mount=from=b,target=/m true\nFROM scratch AS b\nCOPY y /\n';
    expect(await messageOf(text, { target: 'a' })).toBe(
      'cannot mount from stage "b" to "/m", stage needs to be defined before current command',
    );
  });

  test('a ring of copies is refused with its members', async () => {
    const text = 'FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /\n';
    const [error] = await errorsOf(text);
    expect(error?.message).toBe('circular dependency detected on stage: a');
    expect(error?.hint).toBe('a needs b needs a');
    expect(error?.range?.start.line).toBe(4);
  });

  test('an empty platform is refused', async () => {
    expect(await messageOf('ARG P\nFROM --platform=$P scratch\n')).toBe('empty platform value from expression $P');
  });
});

describe('errors of a pass', () => {
  test('every wrong instruction is reported, in the order of the file', async () => {
    const text = 'FROM scratch\nEXPOSE 80/foo\nSTOPSIGNAL foo\nVOLUME $X\nCOPY --chmod=9 a /\n';
    const found = await errorsOf(text);
    expect(found.map(({ message, range }) => [range?.start.line, message])).toEqual([
      [2, 'invalid port: "80/foo": invalid proto: foo'],
      [3, 'invalid signal: foo'],
      [4, 'VOLUME specified can not be an empty string'],
      [5, "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777"],
    ]);
  });

  test('stages that nobody needs are not converted', async () => {
    await expect(convertText('FROM scratch AS bad\nSTOPSIGNAL foo\nFROM scratch\nCOPY a /\n')).resolves.toBeDefined();
  });

  test('an unknown image is reported at its FROM, with a guess', async () => {
    const [error] = await errorsOf('FROM busybx\nRUN true\n');
    expect(error?.message).toBe(
      'busybx: failed to resolve source metadata for docker.io/library/busybx:latest: docker.io/library/busybx:latest: not found (did you mean busybox?)',
    );
    expect(error?.range?.start.line).toBe(1);
  });

  test.each([
    'not found',
    'failed to resolve source metadata for docker.io/library/nope:latest: not found',
    'docker.io/library/nope:latest: failed to resolve source metadata for docker.io/library/nope:latest: not found',
  ])('what the resolver says is said once: %s', async (message) => {
    class FailingResolver extends FakeImageResolver {
      override resolveImage(): Promise<never> {
        return Promise.reject(new TsbuildError('TSB_IMAGE_NOT_FOUND', message));
      }
    }
    expect(await messageOf('FROM nope\n', { resolver: new FailingResolver() })).toBe(
      'nope: failed to resolve source metadata for docker.io/library/nope:latest: not found',
    );
  });

  test('a failure of tsbuild itself is not taken for an error of the user', async () => {
    class BrokenResolver extends FakeImageResolver {
      override resolveImage(): Promise<never> {
        return Promise.reject(new TypeError('broken'));
      }
    }
    await expect(convertText('FROM x\n', { resolver: new BrokenResolver() })).rejects.toThrow(TypeError);
  });
});

describe('names of owners where a copy begins with nothing', () => {
  const refused = (hint: string, line: number) => [
    expect.objectContaining({
      code: 'TSB_DOCKERFILE_OWNER_NAME',
      message: 'invalid user index: -1',
      hint,
      range: expect.objectContaining({ start: expect.objectContaining({ line }) }),
    }),
  ];
  const linkHint = '--link copies without looking at the image: give numbers, or leave out --link';
  const scratchHint = 'scratch has no users: give numbers';

  test.each([
    ['FROM base\nCOPY --link --chown=nobody f /ww/\n', linkHint],
    ['FROM base\nADD --link --chown=1:staff f /ww/\n', linkHint],
    ['FROM scratch\nCOPY --chown=nobody f /ww/\n', scratchHint],
  ])('%j is refused, as BuildKit does', async (text, hint) => {
    const resolver = new FakeImageResolver({ 'docker.io/library/base:latest': {} });
    expect(await errorsOf(text, { resolver })).toEqual(refused(hint, 2));
  });

  test.each([
    'FROM base\nCOPY --link --chown=1:2 f /ww/\nCOPY --link --chown=root f /ww/\n',
    'FROM base\nCOPY --link --chmod=600 --chown=nobody f /ww/\nCOPY --chown=nobody f /ww/\n',
  ])('%j is not', async (text) => {
    const resolver = new FakeImageResolver({ 'docker.io/library/base:latest': {} });
    await expect(convertText(text, { resolver })).resolves.toBeDefined();
  });
});
