// What is built again and what is not, seen from outside.
import { copyFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();

const DOCKERFILE = [
  'FROM base AS first',
  'RUN echo one > /one',
  'COPY a.txt /a.txt',
  'RUN cat /a.txt > /from-a',
  'FROM base',
  'COPY b.txt /b.txt',
  'COPY --from=first /from-a /from-a',
  'RUN cat /b.txt /from-a',
].join('\n');

describeRoot('the cache', {}, (caller) => {
  let context: string;
  beforeEach(() => {
    context = writeContext(caller, { Dockerfile: DOCKERFILE, 'a.txt': 'aaaa\n', 'b.txt': 'bbbb\n' });
    const store = join(caller.home, `store-${Math.random()}`);
    build = (...flags) => {
      const args = ['build', '--progress=plain', '--build-context', `base=oci-layout://${base}`, ...flags, context];
      const result = caller.tsbuild(args, { store });
      expect(outputOf(result), outputOf(result)).toContain(result.stdout.trim());
      expect(result.status, outputOf(result)).toBe(0);
      return { text: outputOf(result), imageID: result.stdout.trim(), ran: ran(outputOf(result)) };
    };
  });
  let build: (...flags: string[]) => { text: string; imageID: string; ran: string[] };

  it('reuses every step when a file is only touched', () => {
    const first = build();
    expect(first.ran).toHaveLength(6);
    utimesSync(join(context, 'a.txt'), new Date(), new Date());
    const second = build();
    expect(second.ran).toEqual([]);
    expect(second.imageID).toBe(first.imageID);
  });

  it('does not take a copy of a stage for that of an empty one', () => {
    const after = 'FROM base\nCOPY --from=x / /o\nRUN for f in /o/*; do echo "found $f"; done\n';
    writeFileSync(join(context, 'Dockerfile'), `FROM scratch AS x\nCOPY a.txt /\n${after}`);
    expect(build().text).toContain('found /o/a.txt');
    writeFileSync(join(context, 'Dockerfile'), `FROM scratch AS x\n${after}`);
    expect(build().text).toContain('found /o/*');
  });

  it('runs only what is downstream of a changed file', () => {
    build();
    writeFileSync(join(context, 'b.txt'), 'BBBB\n');
    expect(build().ran).toEqual(['COPY b.txt /b.txt', 'COPY --from=first /from-a /from-a', 'RUN cat /b.txt /from-a']);
  });

  it('stops at a step whose output did not change', () => {
    writeFileSync(
      join(context, 'Dockerfile'),
      DOCKERFILE.replace('cat /a.txt > /from-a', 'wc=1; echo same > /from-a; cat /a.txt'),
    );
    build();
    writeFileSync(join(context, 'a.txt'), 'AAAA\n');
    expect(build().ran).toEqual(['COPY a.txt /a.txt', 'RUN wc=1; echo same > /from-a; cat /a.txt']);
  });

  it('runs everything with --no-cache, and keeps the results', () => {
    build();
    expect(build('--no-cache').ran).toHaveLength(6);
    expect(build().ran).toEqual([]);
  });

  it('runs the steps of the stages named by --no-cache-filter', () => {
    build();
    expect(build('--no-cache-filter', 'first').ran).toEqual([
      'RUN echo one > /one',
      'COPY a.txt /a.txt',
      'RUN cat /a.txt > /from-a',
    ]);
  });

  it('bakes new bytes in when a file changes but keeps its size and time', () => {
    const path = join(context, 'b.txt');
    const { atime, mtime } = statSync(path);
    expect(build().text).toContain('bbbb');
    writeFileSync(path, 'xxxx\n');
    utimesSync(path, atime, mtime);
    expect(build().text).toMatch(/ xxxx$/m);
    writeFileSync(join(caller.home, 'other'), 'yyyy\n');
    utimesSync(join(caller.home, 'other'), atime, mtime);
    copyFileSync(join(caller.home, 'other'), path);
    utimesSync(path, atime, mtime);
    expect(build().text).toMatch(/ yyyy$/m);
  });
});

/** Names of the steps that ran, without stage and number. */
function ran(text: string): string[] {
  const names = new Map(
    [...text.matchAll(/^#(\d+) \[[^\]]*\d\/\d+\] (.*)$/gm)].map((match) => [match[1] ?? '', match[2] ?? '']),
  );
  return [...names]
    .filter(([number, name]) => !name.startsWith('FROM ') && text.includes(`#${number} DONE`))
    .map(([, name]) => name);
}
