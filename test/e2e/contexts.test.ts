// Where a build context comes from: standard input, and named contexts.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type Caller,
  type ContextFiles,
  describeCallers,
  makeBase,
  outputOf,
  rootCaller,
  writeContext,
} from './harness.ts';

const BASE = ['--build-context', `base=oci-layout://${makeBase()}`];

const FILES: ContextFiles = {
  Dockerfile: 'FROM scratch\nCOPY . /\n',
  'a.txt': 'one',
  'sub/other.Dockerfile': 'FROM scratch\nCOPY a.txt /other\n',
  '.dockerignore': 'a.txt\n',
};

function tarOf(caller: Caller, files: ContextFiles, ...flags: string[]): Buffer {
  const dir = writeContext(caller, files);
  return execFileSync('tar', ['--owner=3', '--group=4', ...flags, '-c', '.'], { cwd: dir, maxBuffer: 1 << 26 });
}

describeCallers('standard input', {}, (caller) => {
  it.each(['', '-z', '-j', '-J', '--zstd'])('takes an archive on standard input as context (tar %s)', (flag) => {
    const out = join(caller.home, `out${flag}`);
    const input = tarOf(caller, FILES, ...(flag === '' ? [] : [flag]));
    const result = caller.tsbuild(['--progress=plain', '-o', out, '-'], { input });
    expect(result.status, outputOf(result)).toBe(0);
    // As in BuildKit, no ignore file applies to an archive.
    expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe('one');
  });

  it('keeps the owners that files have in the archive', () => {
    const input = tarOf(caller, {
      Dockerfile: 'FROM base\nCOPY a.txt /\nUSER 3\nRUN test -O /a.txt && echo own file\n',
      'a.txt': '',
    });
    const result = caller.tsbuild(['--progress=plain', ...BASE, '-'], { input });
    expect(outputOf(result)).toContain(' own file\n');
  });

  it('hits the cache when the same archive comes again', () => {
    const input = tarOf(caller, FILES);
    const build = () => caller.tsbuild(['--progress=plain', '-'], { input });
    const first = build();
    const second = build();
    expect(second.stdout).toBe(first.stdout);
    expect(second.stderr).toContain('CACHED');
  });

  it('finds the Dockerfile that -f names inside the archive', () => {
    const out = join(caller.home, 'other');
    const input = tarOf(caller, FILES);
    const result = caller.tsbuild(['-f', 'sub/other.Dockerfile', '-o', out, '-'], { input });
    expect(result.status, outputOf(result)).toBe(0);
    expect(readFileSync(join(out, 'other'), 'utf8')).toBe('one');
  });

  it('follows no link of an archive out of it', () => {
    const input = tarOf(caller, { Dockerfile: { link: '/etc/passwd' } });
    const result = caller.tsbuild(['-'], { input });
    expect(result.stderr).toContain('error: failed to read dockerfile: open Dockerfile: no such file or directory');
    expect(result.status).toBe(1);
  });

  it('takes a Dockerfile on standard input, with an empty context or that of a directory', () => {
    const input = 'FROM scratch\nCOPY <<E /made\nhello\nE\n';
    const out = join(caller.home, 'made');
    expect(caller.tsbuild(['-o', out, '-'], { input }).status).toBe(0);
    expect(readFileSync(join(out, 'made'), 'utf8')).toBe('hello\n');
    const empty = caller.tsbuild(['-'], { input: 'FROM scratch\nCOPY a.txt /\n' });
    expect(empty.stderr).toContain('"/a.txt": not found');

    const dir = writeContext(caller, { 'a.txt': 'one', Dockerfile: 'RNU' });
    const both = caller.tsbuild(['-f', '-', '-o', join(caller.home, 'both'), dir], {
      input: 'FROM scratch\nCOPY a.txt /b\n',
    });
    expect(both.status, outputOf(both)).toBe(0);
    expect(statSync(join(caller.home, 'both/b')).size).toBe(3);
  });

  it('leaves nothing of a context from standard input in the store', () => {
    caller.tsbuild(['-'], { input: tarOf(caller, FILES) });
    caller.tsbuild(['-'], { input: 'FROM scratch\nRNU\n' });
    expect(caller.run('sh', ['-c', 'ls "$TSBUILD_ROOT/tmp" | grep context-']).stdout).toBe('');
  });
});

const caller = rootCaller();
afterAll(() => caller.dispose());

it('refuses standard input for two things at once', () => {
  const both = caller.tsbuild(['-f', '-', '-'], { input: 'FROM scratch\n' });
  expect(both.stderr).toContain("error: invalid argument: can't use stdin for both build context and dockerfile");
  expect(both.status).toBe(2);
  const ambiguous = caller.tsbuild(['-f', 'Other', '-'], { input: 'FROM scratch\n' });
  expect(ambiguous.stderr).toContain(
    'error: ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles',
  );
});

describe('named contexts', () => {
  it('a directory has an ignore file of its own', () => {
    const named = writeContext(caller, { '.dockerignore': 'b\n', a: 'A', b: 'B' });
    const context = writeContext(caller, { Dockerfile: 'FROM scratch\nCOPY --from=lib . /\n', '.dockerignore': 'a\n' });
    const out = join(caller.home, 'named');
    const result = caller.tsbuild(['--build-context', `lib=${named}`, '-o', out, context]);
    expect(result.status, outputOf(result)).toBe(0);
    expect(readFileSync(join(out, 'a'), 'utf8')).toBe('A');
    expect(statSync(join(out, 'b'), { throwIfNoEntry: false })).toBeUndefined();
  });

  it('an image replaces a stage, whose instructions are not run', () => {
    const context = writeContext(caller, {
      Dockerfile: 'FROM scratch AS tools\nRUN exit 3\nFROM scratch\nCOPY --from=tools /bin/sh /sh\n',
    });
    const result = caller.tsbuild(['--progress=plain', '--build-context', `tools=oci-layout://${makeBase()}`, context]);
    expect(result.status, outputOf(result)).toBe(0);
    expect(result.stderr).toContain('[context tools]');
  });

  it('a name with a platform is for that platform alone', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY Dockerfile /\n' });
    const build = (platform: string) =>
      caller.tsbuild([
        '--progress=plain',
        '--build-context',
        `base::${platform}=oci-layout://${makeBase()}`,
        '--build-context',
        'base=scratch',
        context,
      ]);
    expect(build('linux/s390x').stderr).not.toContain('[context base');
    const own = build(process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64');
    expect(own.stderr).toContain('[context base::');
  });

  it('one that is broken and not used does no harm', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
    expect(caller.tsbuild(['--build-context', 'x=docker-image://127.0.0.1:1/nowhere', context]).status).toBe(0);
  });
});
