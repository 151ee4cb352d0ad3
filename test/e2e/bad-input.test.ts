// Every mistake gets one clear error, its exit code, and leaves nothing behind.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { describeRoot, makeBase, outputOf, REGISTRY, writeContext } from './harness.ts';

const base = makeBase();

describeRoot('bad input', {}, (caller) => {
  const build = (dockerfile: string, ...flags: string[]) => {
    const context = writeContext(caller, { Dockerfile: dockerfile, 'a.txt': 'a' });
    const result = caller.tsbuild([
      'build',
      '--progress=plain',
      '-t',
      'bad:1',
      '--build-context',
      `base=oci-layout://${base}`,
      ...flags,
      context,
    ]);
    return { status: result.status, text: outputOf(result) };
  };

  it('names a context that is not there', () => {
    const result = caller.tsbuild(['build', './nowhere']);
    expect(outputOf(result)).toContain('error: build context "./nowhere" does not exist');
    expect(result.status).toBe(1);
  });

  it('names a context that is a file', () => {
    writeFileSync(join(caller.home, 'file'), '');
    expect(outputOf(caller.tsbuild(['build', './file']))).toContain('error: build context "./file" is not a directory');
  });

  it('asks for a context', () => {
    const result = caller.tsbuild(['build']);
    expect(outputOf(result)).toContain('error: no build context given');
    expect(result.status).toBe(2);
  });

  it('names a Dockerfile that is not there', () => {
    mkdirSync(join(caller.home, 'empty'));
    const result = caller.tsbuild(['build', './empty']);
    expect(outputOf(result)).toContain('error: failed to read dockerfile: open Dockerfile: no such file or directory');
    expect(result.status).toBe(1);
  });

  it('names an unknown flag, with the nearest one', () => {
    const result = caller.tsbuild(['build', '--no-cach', '.']);
    expect(outputOf(result)).toMatch(/error: unknown option '--no-cach'\n\(Did you mean .*--no-cache/);
    expect(result.status).toBe(2);
  });

  it('locates an unknown instruction', () => {
    const { status, text } = build('FROM base\nRNU true\n');
    expect(text).toContain(
      'Dockerfile:2\n--------------------\n   1 |     FROM base\n   2 | >>> RNU true\n   3 |     \n--------------------\n',
    );
    expect(text).toContain('error: dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)');
    expect(status).toBe(1);
  });

  it('suggests a stage', () => {
    const { status, text } = build('FROM base AS base1\nFROM base1\n', '--target', 'bse1');
    expect(text).toContain(
      'error: target stage "bse1" could not be found (did you mean base1?)\nhint: stages: base1\n',
    );
    expect(status).toBe(1);
  });

  it('says that no stage has a name', () => {
    const { text } = build('FROM base\n', '--target', 'stage-0');
    expect(text).toContain(
      'error: target stage "stage-0" could not be found\nhint: no stage has a name: give it one with FROM … AS name\n',
    );
  });

  it('names a registry that cannot be reached', () => {
    const { status, text } = build('FROM 127.0.0.1:1/library/x:1\n');
    expect(text).toMatch(
      /error: .*127\.0\.0\.1:1\/library\/x:1: failed to resolve source metadata for 127\.0\.0\.1:1\/library\/x:1/,
    );
    expect(text).toContain('ECONNREFUSED');
    expect(status).toBe(1);
  });

  itNeeding(['lab'], 'names an unknown tag', () => {
    const name = `${REGISTRY}/library/busybox:nosuchtag`;
    const { status, text } = build(`FROM ${name}\n`);
    expect(text).toContain(`error: ${name}: failed to resolve source metadata for ${name}: ${name}: not found`);
    expect(status).toBe(1);
  });

  itNeeding(['lab'], 'names a digest that is not there', () => {
    const name = `${REGISTRY}/library/busybox@sha256:${'0'.repeat(64)}`;
    const { status, text } = build(`FROM ${name}\n`);
    expect(text).toContain(`${name}: not found`);
    expect(status).toBe(1);
  });

  it('shows the output of a failing RUN, its excerpt and its exit code, and keeps the steps before it', () => {
    const dockerfile = 'FROM base\nRUN echo before > /b\nRUN echo to stdout && echo to stderr >&2 && \\\n    exit 7\n';
    const { status, text } = build(dockerfile);
    expect(text).toContain(
      'error: process "/bin/sh -c echo to stdout && echo to stderr >&2 &&     exit 7" did not complete successfully: exit code: 7',
    );
    expect(text).toMatch(/ > \[2\/3\] RUN echo to stdout && echo to stderr >&2 && {5}exit 7:\n[\d.]+ to std/);
    expect(text).toContain('   3 | >>> RUN echo to stdout && echo to stderr >&2 && \\\n   4 | >>>     exit 7\n');
    expect(status).toBe(1);
    expect(build(dockerfile).text).toMatch(/#\d+ \[1\/3\] RUN echo before > \/b\n#\d+ CACHED/);
  });

  it('leaves no image, tag or output behind when a step fails', () => {
    const dest = join(caller.home, 'failed.tar');
    build('FROM base\nRUN exit 1\n', '-o', `type=oci,dest=${dest}`);
    expect(existsSync(dest)).toBe(false);
    expect(caller.tsbuild(['images']).stdout).not.toContain('bad');
  });

  it('names a missing COPY source, with the nearest name', () => {
    const { text } = build('FROM base\nCOPY a.tx /x\n');
    expect(text).toContain('"/a.tx": not found');
    expect(text).toContain('did you mean');
  });

  it('names a store that cannot be written', () => {
    writeFileSync(join(caller.home, 'not-a-directory'), '');
    const result = caller.tsbuild(['images'], { store: join(caller.home, 'not-a-directory', 'store') });
    expect(result.status).toBe(1);
    expect(outputOf(result)).toContain(join(caller.home, 'not-a-directory'));
  });

  itNeeding(['lab'], 'names a platform that the base image does not have', () => {
    const { status, text } = build(`FROM ${REGISTRY}/library/busybox\nRUN true\n`, '--platform', 'linux/s390x');
    expect(text).toContain('no match for platform in manifest: not found');
    expect(text).toContain('hint: the image is there for linux/amd64, linux/arm64: choose one of them with --platform');
    expect(status).toBe(1);
  });

  it('reports all sources that are not there, the one that BuildKit tells first', () => {
    const { status, text } = build(
      'FROM base\nCOPY a.txt /\nCOPY nosuch /x\nCOPY nosuch2 nosuch* /y/\nADD nosuch3 a.txt a.tx /z/\nCOPY --parents b/c /\n',
    );
    expect(text).toContain('Dockerfile:3:1: error: "/nosuch": not found\n');
    const errors = text.split('\n').filter((line) => /^(Dockerfile:.*error:|hint:)/.test(line));
    expect(errors).toEqual([
      'Dockerfile:3:1: error: "/nosuch": not found',
      'Dockerfile:4:1: error: "/nosuch2": not found',
      'Dockerfile:5:1: error: "/nosuch3": not found',
      'Dockerfile:5:1: error: "/a.tx": not found',
      'hint: did you mean "a.txt"?',
      'Dockerfile:6:1: error: "/b/c": not found',
    ]);
    // Each line of the Dockerfile is shown once.
    expect(text.match(/>>> ADD/g)).toHaveLength(1);
    expect(status).toBe(1);
  });

  it.each([
    ['COPY ../bee /x', '/bee'],
    ['ADD a.txt ./../../bee /x/', '/bee'],
    ['ARG UP=a/../../..\nCOPY --link $UP/bee /x', '/bee'],
    ['COPY --parents ../a.txt ../bee/ /x/', '/bee'],
  ])('says of %j that nothing leads out of the build context', (instructions, path) => {
    const { status, text } = build(`FROM base\n${instructions}\n`);
    const hint = 'hint: ".." does not lead out of the build context: paths begin at its root\n';
    expect(text).toContain(`error: "${path}": not found\n${hint}`);
    expect(status).toBe(1);
  });

  it.each(['COPY ../a.txt bee /x/', 'COPY --from=base ../bee /x', 'COPY a/../bee /x'])(
    'says nothing of ".." where it is not what is wrong with %j',
    (instruction) => {
      const { status, text } = build(`FROM base\n${instruction}\n`);
      expect(text).toContain('error: "/bee": not found\n');
      expect(text).not.toContain('does not lead out');
      expect(status).toBe(1);
    },
  );

  it('names the file of a secret that no step asks for', () => {
    const { status, text } = build('FROM base\n', '--secret', 'id=s,src=/nosuch');
    expect(text).toContain(
      'error: could not parse secrets: [id=s,src=/nosuch]: failed to stat /nosuch: no such file or directory\n',
    );
    expect(status).toBe(1);
  });

  it('says so when the Dockerfile cannot be read', () => {
    const context = writeContext(caller, {});
    mkdirSync(join(context, 'Dockerfile'));
    chmodSync(context, 0o755);
    const result = caller.tsbuild(['build', context]);
    expect(outputOf(result)).toContain('error: failed to read dockerfile: Dockerfile is a directory');
    expect(result.status).toBe(1);
  });
});
