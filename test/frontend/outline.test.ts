// What a Dockerfile says of its targets, without any image being looked up.
import { expect, test } from 'vitest';
import { listTargets, outlineTarget } from '../../frontend/outline.ts';
import type { ConvertOptions } from '../../frontend/convert-options.ts';
import { parseDockerfile } from '../../frontend/parse.ts';
import { convertOptions } from './convert-dockerfile.ts';

const TEXT = `ARG inherited=box
ARG inherited2=box2
ARG unused=abc\${inherited2}
# sfx is a suffix
ARG sfx=usy\${inherited}

FROM b\${sfx} AS first
# this is not assigned to anything
ARG FOO=123
# BAR is a number
ARG BAR=456
RUN --mount=type=secret,id=k1 --mount=type=secret,id=k2,required --mount=type=ssh true

FROM alpine\${unused} AS second
ARG BAZ
RUN true

FROM scratch AS third
ARG ABC=a

# target defines build target
FROM third AS target
COPY --from=first /etc/passwd /
RUN --mount=type=secret,id=k1,required true

FROM second
`;

const options = (changes: Partial<ConvertOptions> = {}): ConvertOptions => convertOptions(TEXT, changes);

const parsed = parseDockerfile({ name: 'Dockerfile', text: TEXT });

test('an outline has the args of all stages needed, and the global args their FROM lines need', () => {
  const outline = outlineTarget(parsed, options({ target: 'target', buildArgs: { BAR: '678' } }));
  expect(outline).toMatchObject({ name: 'target', description: 'defines build target' });
  expect(
    outline.args.map(({ name, value, description, range }) => [name, value, description, range.start.line]),
  ).toEqual([
    ['inherited', 'box', '', 1],
    ['sfx', 'usybox', 'is a suffix', 5],
    ['FOO', '123', '', 9],
    ['BAR', '678', 'is a number', 11],
    ['ABC', 'a', '', 19],
  ]);
});

test('secrets and agents are named once, required when any mount requires them', () => {
  const { secrets, agents } = outlineTarget(parsed, options({ target: 'target' }));
  expect(secrets.map(({ name, isRequired, range }) => [name, isRequired, range.start.line])).toEqual([
    ['k1', true, 12],
    ['k2', true, 12],
  ]);
  expect(agents.map(({ name, isRequired }) => [name, isRequired])).toEqual([['default', false]]);
});

test('targets are listed with base, description and the default', () => {
  expect(
    listTargets(parsed, options()).map(({ name, base, description, isDefault }) => [
      name,
      base,
      description,
      isDefault,
    ]),
  ).toEqual([
    ['first', 'busybox', '', false],
    ['second', 'alpineabcbox2', '', false],
    ['third', 'scratch', '', false],
    ['target', 'third', 'defines build target', false],
    ['', 'second', '', true],
  ]);
});
