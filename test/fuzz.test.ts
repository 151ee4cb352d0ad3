// More than 100,000 generated inputs: whatever the text, the answer is a result or an error for the user, and soon.
// FUZZ_TIMES=20 runs more, FUZZ_SEED=n repeats a run; seeds that failed are kept in fuzz/failed-seeds.txt.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { describeNeeding } from './needs.ts';
import { createPatternMatcher, type IgnoreState, parseIgnoreFile } from '../frontend/dockerignore.ts';
import { formatReference, parseReference, withDefaultTag } from '../frontend/reference.ts';
import { parseGitUrl } from '../frontend/git-url.ts';
import { parseDuration } from '../frontend/duration.ts';
import { parsePlatform } from '../frontend/platform.ts';
import { checkMount, parseMount } from '../frontend/run-mount.ts';
import { expandHeredoc, expandWord, expandWords } from '../frontend/shell-words.ts';
import { envOf } from './frontend/env-of.ts';
import { applyLayer, extractArchive } from '../src/diff/tar-applier.ts';
import { encodeTarHeader, tarPadding } from '../src/diff/tar-writer.ts';
import { parseOutput } from '../src/export/output-spec.ts';
import { UpperWriter } from '../src/snapshot/upper-writer.ts';
import { convertText } from './frontend/convert-dockerfile.ts';
import { FakeImageResolver, LINUX_AMD64 } from './frontend/fake-image-resolver.ts';
import { fuzz, guarded, guardedAsync } from './fuzz/assert-found.ts';
import { generated, mutated, textsBelow } from './fuzz/dockerfile-arbitrary.ts';
import { isExcluded } from './fuzz/ignore-reference.ts';

const CORPORA = new URL('../../shared/corpora/', import.meta.url).pathname;
const PROJECT = new URL('..', import.meta.url).pathname;
const seeds = [
  ...textsBelow(join(PROJECT, 'fixtures'), /Dockerfile$/),
  ...(existsSync(CORPORA) ? textsBelow(CORPORA, /Dockerfile$/) : []),
];
const IMAGES = Object.fromEntries(
  ['busybox:latest', 'debian:12', 'a:latest', 'alpine:latest'].map((name) => [
    `docker.io/library/${name}`,
    { config: { Env: ['PATH=/x'], OnBuild: ['RUN echo on'] } },
  ]),
);
const LONG = { timeout: 600_000 };
let total = 0;

async function convert(text: string): Promise<void> {
  await guardedAsync(async () => {
    const { definition } = await convertText(text, { resolver: new FakeImageResolver(IMAGES) });
    const known = new Set(definition.vertices.map(({ digest }) => digest));
    for (const vertex of definition.vertices) {
      for (const input of vertex.inputs) if (!known.has(input.vertex.digest)) throw new Error('an input is missing');
    }
  });
}

describe('any Dockerfile', () => {
  it('of the grammar, right or wrong, is converted or refused', LONG, async () => {
    total += await fuzz('generated Dockerfiles', 50_000, fc.asyncProperty(generated, convert));
  });

  it('that was right before it was damaged is converted or refused', LONG, async () => {
    total += await fuzz('mutated Dockerfiles', 30_000, fc.asyncProperty(mutated(seeds), convert));
  });

  it('converts to the same definition each time', LONG, async () => {
    const twice = async (text: string): Promise<void> => {
      const ids: unknown[] = [];
      for (let time = 0; time < 2; time += 1) {
        const made = await guardedAsync(() => convertText(text, { resolver: new FakeImageResolver(IMAGES) }));
        ids.push(made?.definition.vertices.map(({ digest }) => digest));
      }
      expect(ids[0]).toEqual(ids[1]);
    };
    total += await fuzz('conversions', 2_000, fc.asyncProperty(generated, twice));
  });
});

const pieces = fc.constantFrom('a', 'b', 'ab', '*', '**', '?', '[ab]', '[^a]', 'a*', '*b', '.c', '**a', 'a**', '.');
const pattern = fc
  .tuple(fc.constantFrom('', '', '!', '/'), fc.array(pieces, { minLength: 1, maxLength: 4 }))
  .map(([sign, parts]) => sign + parts.join('/'));
const path = fc.array(fc.constantFrom('a', 'b', 'ab', 'aa', 'c', '.c', 'a.c'), { minLength: 1, maxLength: 4 });

/** As a walk of the context sees it: directories that are excluded and hold nothing wanted are not entered. */
function isExcludedOnWalk(root: IgnoreState, parts: readonly string[]): boolean {
  let state = root;
  for (const name of parts.slice(0, -1)) {
    state = state.enter(name);
    if (state.excluded && !state.mayHaveReincludedChildren) return true;
  }
  return state.excludes(parts.at(-1) ?? '');
}

describe('any ignore file', () => {
  it('excludes what the plain reading of its patterns excludes, also on a walk', LONG, async () => {
    const same = (lines: readonly string[], parts: readonly string[]): void => {
      guarded(() => {
        const patterns = parseIgnoreFile(lines.join('\n'));
        const matcher = createPatternMatcher(patterns);
        const expected = isExcluded(patterns, parts.join('/'));
        expect([matcher.matches(parts.join('/')), isExcludedOnWalk(matcher.root(), parts)]).toEqual([
          expected,
          expected,
        ]);
      });
    };
    const lines = fc.array(pattern, { minLength: 1, maxLength: 5 });
    total += await fuzz('ignore files', 40_000, fc.property(lines, path, same));
  });

  it('of any bytes is read or refused', LONG, async () => {
    const odd = fc.string({
      unit: fc.constantFrom('a', '*', '[', ']', '\\', '!', '#', '/', '\n', '^', '-', '(', '$', 'é', ' '),
      maxLength: 20,
    });
    const read = (text: string): void => {
      guarded(() => createPatternMatcher(parseIgnoreFile(text)).matches('a/b'));
    };
    total += await fuzz('odd ignore files', 8_000, fc.property(odd, read));
  });
});

const WORD_PARTS = [
  '$',
  '{',
  '}',
  'A',
  'b',
  ':',
  '-',
  '+',
  '?',
  '#',
  '##',
  '%',
  '/',
  '//',
  '"',
  "'",
  '\\',
  '`',
  ' ',
  '*',
  '=',
  '\n',
  '@',
  '1',
  'é',
  '|',
];
const wordText = fc.array(fc.constantFrom(...WORD_PARTS), { maxLength: 14 }).map((parts) => parts.join(''));

describe('any short text', () => {
  it('is expanded or refused', LONG, async () => {
    const env = envOf({ A: 'a/b a', b: '', E: '*' });
    const expand = (text: string, token: '\\' | '`'): void => {
      const one = guarded(() => expandWord(text, env, { escape: token }));
      const many = guarded(() => expandWords(text, env, { escape: token }));
      guarded(() => expandHeredoc(text, env));
      expect(one === undefined).toBe(many === undefined);
    };
    total += await fuzz('shell words', 25_000, fc.property(wordText, fc.constantFrom('\\', '`'), expand));
  });

  it('without anything special expands to itself', LONG, async () => {
    const plain = fc.string({
      unit: fc.constantFrom('a', 'B', '0', '.', '/', '-', 'é', '=', ':', '{', '}'),
      maxLength: 12,
    });
    total += await fuzz(
      'plain words',
      1_000,
      fc.property(plain, (text) => expandWord(text, envOf({})).value === text),
    );
  });

  it('is a reference, which is written as it is read, or none', LONG, async () => {
    const parts = [
      'a',
      'A',
      'lib',
      '/',
      ':',
      '@',
      '.',
      '-',
      '_',
      '__',
      'localhost',
      '5000',
      'docker.io',
      'sha256:',
      '0'.repeat(64),
      '[::1]',
      'é',
      ' ',
      'latest',
    ];
    const text = fc.array(fc.constantFrom(...parts), { maxLength: 8 }).map((some) => some.join(''));
    const read = (name: string): void => {
      guarded(() => {
        const reference = parseReference(name);
        expect(parseReference(formatReference(reference))).toEqual(reference);
        parseReference(formatReference(withDefaultTag(reference)));
      });
    };
    total += await fuzz('references', 15_000, fc.property(text, read));
  });

  it('is a mount, an output, a platform, a duration, a URL, or an error', LONG, async () => {
    const parts = [
      'type',
      'bind',
      'cache',
      'secret',
      'tmpfs',
      'ssh',
      'target',
      'dest',
      'id',
      'mode',
      'uid',
      'size',
      'from',
      'env',
      'sharing',
      'oci',
      'docker',
      'local',
      'image',
    ];
    const marks = [
      '=',
      '=',
      ',',
      ',',
      '"',
      '/',
      '0777',
      '-1',
      '1g',
      'true',
      '$A',
      'linux',
      'arm64',
      'v8',
      '1h2m',
      'ms',
      '#',
      ':',
      'https://h/x.git',
      'git@h',
      ' ',
      '?ref=',
      '%zz',
      '',
    ];
    const text = fc.array(fc.constantFrom(...parts, ...marks), { maxLength: 12 }).map((some) => some.join(''));
    const read = (value: string): void => {
      guarded(() => checkMount(value));
      guarded(() => parseMount(value));
      guarded(() => parseOutput(value));
      guarded(() => parsePlatform(value, LINUX_AMD64));
      guarded(() => parseDuration(value));
      guarded(() => parseGitUrl(value));
    };
    total += await fuzz('options', 15_000, fc.property(text, read));
  });
});

const place = mkdtempSync(join(tmpdir(), 'tsbuild-fuzz-'));
afterAll(() => rmSync(place, { recursive: true, force: true }));

const entryName = fc.constantFrom(
  'a',
  'a/b',
  'd/',
  'd/e',
  '../x',
  '/abs',
  'l',
  'l/in',
  '.wh.a',
  '.wh..wh..opq',
  'd/.wh.e',
  './',
  '.',
  '..',
  'a/../../y',
  '.wh...',
  '.wh.',
);
const entry = fc.record({
  name: entryName,
  type: fc.constantFrom('file', 'dir', 'symlink', 'link', 'fifo', 'char') as fc.Arbitrary<
    'file' | 'dir' | 'symlink' | 'link' | 'fifo' | 'char'
  >,
  linkName: fc.constantFrom('a', '../outside', '/outside', '/', '..', 'd', 'l', '../../../../../../../../outside'),
  mode: fc.constantFrom(0o644, 0, 0o6755),
  uid: fc.constantFrom(0, 70_000, 3_000_000_000),
});
type Entry = typeof entry extends fc.Arbitrary<infer T> ? T : never;

function tarOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap((one) => {
    const bytes = Buffer.from(one.type === 'file' ? 'text' : '');
    const header = encodeTarHeader({
      ...one,
      gid: 0,
      size: bytes.length,
      mtimeSeconds: 1,
      rdev: { major: 1, minor: 3 },
    });
    return [header, bytes, Buffer.alloc(tarPadding(bytes.length))];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

describeNeeding(['root'], 'any tar', () => {
  it('is unpacked inside its directory or refused', LONG, async () => {
    let count = 0;
    const flips = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(255)), { maxLength: 3 });
    const unpack = async (
      entries: readonly Entry[],
      changes: readonly (readonly [number, number])[],
      isLayer: boolean,
    ) => {
      const tar = tarOf(entries);
      for (const [at, byte] of changes) tar[Math.floor(at * (tar.length - 1))] = byte;
      const jail = join(place, `${count++}`);
      const upperDir = join(jail, 'in/upper');
      mkdirSync(upperDir, { recursive: true });
      writeFileSync(join(jail, 'outside'), 'untouched');
      const source = (async function* () {
        yield tar;
      })();
      await guardedAsync(async () => {
        if (isLayer) await applyLayer(source, { upperDir, lowerDirs: [] }, { isRootless: false });
        else
          await extractArchive(source, new UpperWriter({ upperDir, lowerDirs: [], isRootless: false }), {
            path: '/',
            isRootless: false,
          });
      });
      expect([readdirSync(jail).sort(), readdirSync(join(jail, 'in'))]).toEqual([['in', 'outside'], ['upper']]);
      rmSync(jail, { recursive: true });
    };
    const entries = fc.array(entry, { minLength: 1, maxLength: 6 });
    total += await fuzz('tars', 3_000, fc.asyncProperty(entries, flips, fc.boolean(), unpack));
    expect(readdirSync(place)).toEqual([]);
  });
});

it('adds up to 100,000 cases', () => {
  expect(total).toBeGreaterThanOrEqual(100_000);
});
