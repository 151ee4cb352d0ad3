// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Dockerfiles
// Dockerfiles by grammar, now and then a wrong one, and mutations of real ones.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';

const names = fc.constantFrom(
  'a',
  'B',
  'base',
  'stage-1',
  '0',
  '1',
  'scratch',
  'busybox',
  'debian:12',
  'x@sha256:1',
  '$A',
  '${A:-b}',
  'context',
  '',
);
const words = fc.constantFrom(
  ...[
    'foo',
    '/dst/',
    '.',
    '*',
    'a b',
    '"q w"',
    "'s'",
    '$A',
    '${A}',
    '${A:-x y}',
    '${A:+y}',
    '${A:?no}',
    '${A#*/}',
    '${A//a/b}',
    '${',
    '$',
    '\\',
    '\\$A',
  ],
  ...[
    '--',
    '--x',
    '[',
    '["a","b"]',
    '["a",]',
    '<<EOF',
    '<<-"E"',
    '3<<X',
    '#',
    '=',
    'A=1',
    'A="1 2"',
    'ünï',
    '\u0000',
    '\t',
    '`',
    '80/tcp',
    '1-3',
    '-1-9',
    '65536',
    '10s',
  ],
  ...['http://h/f', 'https://g/x.git#b:s', 'git@h:x.git', '/./', '..', '../../x', '@', '!', '{}', 'a'.repeat(300)],
);
const flags = fc.constantFrom(
  ...[
    '--from=a',
    '--from=0',
    '--from=$A',
    '--chown=1:2',
    '--chown=app',
    '--chmod=644',
    '--chmod=u+x',
    '--chmod=z',
    '--link',
    '--link=x',
    '--parents',
    '--exclude=*',
    '--exclude=',
  ],
  ...[
    '--mount=type=bind,target=/x',
    '--mount=type=cache,id=1,target=$A',
    '--mount=type=secret,id=s,env=E',
    '--mount=',
    '--mount=type=tmpfs,size=1g',
    '--mount=type=ssh',
  ],
  ...[
    '--network=none',
    '--network=x',
    '--security=insecure',
    '--platform=linux/arm64',
    '--platform=$A',
    '--checksum=sha256:0',
    '--keep-git-dir',
    '--unpack',
    '--interval=1s',
    '--retries=-1',
    '--',
    '-x',
    '--UNKNOWN',
  ],
);
const keywords = fc.constantFrom(
  ...[
    'FROM',
    'ARG',
    'ENV',
    'RUN',
    'COPY',
    'ADD',
    'WORKDIR',
    'USER',
    'CMD',
    'ENTRYPOINT',
    'EXPOSE',
    'VOLUME',
    'LABEL',
    'SHELL',
    'STOPSIGNAL',
    'HEALTHCHECK',
  ],
  ...[
    'ONBUILD',
    'MAINTAINER',
    'from',
    'rUn',
    'RNU',
    'ONBUILD COPY',
    'ONBUILD ONBUILD',
    'HEALTHCHECK CMD',
    'HEALTHCHECK NONE',
    '#',
    '# escape=`',
    '# syntax=x',
    '# check=skip=all;error=true',
  ],
);
const separators = fc.constantFrom(' ', ' ', ' ', '  ', '\t', ' \\\n', ' \\\n# c\n', ' \\  \n\n', ' `\n');
const ends = fc.constantFrom(
  '\n',
  '\n',
  '\n',
  '\r\n',
  '\nEOF\n',
  '\nbody $A\nEOF\nE\nX\n',
  '',
  '\n\n#c\n',
  ' \\\n',
  '\\',
);

const line = fc
  .tuple(keywords, fc.array(flags, { maxLength: 2 }), fc.array(words, { maxLength: 4 }), separators, ends)
  .map(([keyword, some, rest, separator, end]) => [keyword, ...some, ...rest].join(separator) + end);
const from = fc
  .tuple(names, fc.option(names))
  .map(([base, name]) => `FROM ${base}${name === null ? '' : ` AS ${name}`}\n`);
const good = fc
  .tuple(fc.constantFrom('RUN', 'COPY', 'ENV', 'ARG', 'LABEL', 'WORKDIR', 'CMD', 'EXPOSE', 'ONBUILD RUN'), words, words)
  .map(([keyword, a, b]) => `${keyword} ${a} ${b}\n`);

/** Text that a Dockerfile could begin to be. */
export const generated: fc.Arbitrary<string> = fc
  .array(fc.oneof({ weight: 1, arbitrary: from }, { weight: 3, arbitrary: good }, { weight: 2, arbitrary: line }), {
    maxLength: 12,
  })
  .map((lines) => `FROM scratch AS base\n${lines.join('')}`);

/** Real texts with some places cut, doubled, or written over. */
export function mutated(texts: readonly string[]): fc.Arbitrary<string> {
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat(30),
    insert: fc.oneof(words, keywords, flags, fc.string({ maxLength: 8 }), fc.constant('\n')),
    isDoubled: fc.boolean(),
  });
  return fc.tuple(fc.constantFrom(...texts), fc.array(edit, { minLength: 1, maxLength: 6 })).map(([text, edits]) =>
    edits.reduce((changed, { at, length, insert, isDoubled }) => {
      const start = Math.floor(at * changed.length);
      const kept = isDoubled ? changed.slice(start, start + length) : '';
      return changed.slice(0, start) + kept + insert + changed.slice(isDoubled ? start : start + length);
    }, text),
  );
}

/** Every file of that name below the directory, small ones only. */
export function textsBelow(directory: string, pattern: RegExp): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name))
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile() && statSync(path).size < 20_000)
    .map((path) => readFileSync(path, 'utf8'));
}
