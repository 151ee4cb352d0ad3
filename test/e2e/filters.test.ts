// What is asked of the cache by name, by line and by build, and what is said when it cannot be.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { describeCallers, describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();

const argsFor = (context: string, ...flags: string[]): string[] => {
  return ['build', '--progress=plain', '--build-context', `base=oci-layout://${base}`, ...flags, context];
};

describeRoot('--no-cache-filter', {}, (caller) => {
  let context: string;
  beforeAll(() => {
    const lines = [
      'FROM base AS one',
      'RUN echo a > /a',
      '# a comment',
      'RUN cat /a \\',
      '  > /b',
      'RUN echo after',
      'FROM base',
      'ENV A=1',
      'COPY --from=one /b /b',
      'RUN <<END',
      'echo c',
      'END',
      '',
    ];
    context = writeContext(caller, { Dockerfile: lines.join('\n') });
    caller.tsbuild(argsFor(context));
  });

  const ran = (...flags: string[]): readonly string[] => {
    const result = caller.tsbuild(argsFor(context, ...flags));
    expect(result.status, outputOf(result)).toBe(0);
    const text = outputOf(result);
    return [...text.matchAll(/^#(\d+) \[\S+ +\d+\/\d+\] (RUN|COPY) (.*)$/gm)]
      .filter(([, number]) => text.includes(`\n#${number} DONE`))
      .map(([, , , rest]) => rest ?? '');
  };
  const [A, B, AFTER, COPY, C] = ['echo a > /a', 'cat /a   > /b', 'echo after', '--from=one /b /b', '<<END (echo c)'];

  it.each([
    [['--no-cache-filter=one'], [A, B, AFTER]],
    [
      ['--no-cache-filter', 'ONE,nobody'],
      [A, B, AFTER],
    ],
    // What stands on it runs, what copies equal bytes of it does not.
    [
      ['--no-cache-filter', 'Dockerfile:4'],
      [B, AFTER],
    ],
    [
      ['--no-cache-filter', 'Dockerfile:5'],
      [B, AFTER],
    ],
    [['--no-cache-filter', 'Dockerfile:11'], [C]],
    [
      ['--no-cache-filter', 'Dockerfile:6,Dockerfile:10'],
      [AFTER, C],
    ],
    // The line of FROM stands for its stage.
    [
      ['--no-cache-filter', 'Dockerfile:7'],
      [COPY, C],
    ],
    [
      ['--no-cache-filter', './Dockerfile:10', '--no-cache-filter', 'one'],
      [A, B, AFTER, C],
    ],
    [['--no-cache', '--no-cache=false'], []],
  ])('%j', (flags, steps) => {
    expect([...ran(...flags)].sort()).toEqual([...steps].sort());
  });

  it('refuses a line without a step, and another file', () => {
    const refused = (filter: string) => {
      const result = caller.tsbuild(argsFor(context, '--no-cache-filter', filter));
      expect(result.status).toBe(2);
      return outputOf(result).slice(outputOf(result).indexOf('error: '));
    };
    expect(refused('Dockerfile:8')).toBe(
      'error: invalid --no-cache-filter "Dockerfile:8": no step is on line 8\nhint: the next one is on line 9\n',
    );
    expect(refused('Dockerfile:99')).toBe(
      'error: invalid --no-cache-filter "Dockerfile:99": no step is on line 99\nhint: the last step is above it\n',
    );
    expect(refused('Containerfile:2')).toBe(
      'error: invalid --no-cache-filter "Containerfile:2": the Dockerfile is Dockerfile\nhint: write Dockerfile:2 for its line 2\n',
    );
  });
});

describeRoot('an ignore file', {}, (caller) => {
  it('is named with the line of each pattern that is wrong', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM scratch\nCOPY . /\n', '.dockerignore': '[a\nok\n!\n' });
    const result = caller.tsbuild(argsFor(context));
    expect(result.status).toBe(1);
    expect(outputOf(result)).toContain(`
.dockerignore:1
--------------------
   1 | >>> [a
   2 |     ok
   3 |     !
--------------------
.dockerignore:1:1: error: syntax error in pattern

.dockerignore:3
--------------------
   1 |     [a
   2 |     ok
   3 | >>> !
   4 |     ${''}
--------------------
.dockerignore:3:1: error: illegal exclusion pattern: "!"
`);
    const other = writeContext(caller, { '.dockerignore': 'a\\', x: '' });
    writeFileSync(join(context, '.dockerignore'), '');
    writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY --from=other . /\n');
    expect(outputOf(caller.tsbuild(argsFor(context, '--build-context', `other=${other}`)))).toContain(
      '\nother/.dockerignore:1:1: error: syntax error in pattern\n',
    );
  });
});

describeCallers('an output where nothing can be written', {}, (caller) => {
  const isOrdinary = caller.prefix.length > 0;
  const closed = isOrdinary ? ['/proc', '/root', '/usr'] : ['/proc'];
  const why = isOrdinary ? 'permission denied' : 'its file system takes no new files';
  let context: string;
  beforeAll(() => {
    context = writeContext(caller, { Dockerfile: 'FROM scratch\nCOPY f /\n', f: 'x' });
  });

  const cases = closed.flatMap((directory) =>
    ['type=oci', 'type=docker', 'type=tar', 'type=local', 'type=oci,tar=false'].map((type) => ({ type, directory })),
  );
  it.each(cases)('$type in $directory is one error', ({ type, directory }) => {
    const dest = `${directory}/tsbuild-output`;
    const before = readdirSync(caller.home).sort();
    const result = caller.tsbuild(argsFor(context, '-t', 'closed:1', '-o', `${type},dest=${dest}`), {
      timeoutMs: 60_000,
    });
    expect(result.status, outputOf(result)).toBe(1);
    const [, error = '', ...more] = outputOf(result).split('error: ');
    expect(error.split('\n')[0]).toBe(`cannot write "${dest}": ${why}`);
    expect(more).toEqual([]);
    expect(existsSync(dest)).toBe(false);
    expect(caller.tsbuild(['images']).stdout).not.toContain('closed');
    expect(readdirSync(caller.home).filter((name) => name !== 'store' && !before.includes(name))).toEqual([]);
  });
});

describeRoot('the commands about what was built', {}, (caller) => {
  it('tsbuild debug enters the failure that is meant, and no other', () => {
    expect(caller.tsbuild(['debug', '-c', 'true']).stderr).toBe(
      'error: no failed step is kept in this store\nhint: what a failed RUN leaves is kept, of the last three for a week\n',
    );
    const context = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo one > /which; exit 3\n' });
    caller.tsbuild(argsFor(context));
    const [run] = caller.tsbuild(['history', 'ls', '--json']).stdout.split('\n');
    const { id } = JSON.parse(run ?? '');
    expect(caller.tsbuild(['debug', '-c', 'cat /which']).stdout).toBe('one\n');
    expect(caller.tsbuild(['debug', '-c', 'cat /which']).stderr).toBe('');
    writeFileSync(join(context, 'Dockerfile'), 'FROM base\nCOPY not-there /\n');
    expect(caller.tsbuild(argsFor(context)).status).toBe(1);
    const [copy] = caller.tsbuild(['history', 'ls', '--json']).stdout.split('\n');
    const failedCopy = JSON.parse(copy ?? '').id;
    const refused = caller.tsbuild(['debug', '-c', 'cat /which']);
    expect(refused.stdout).toBe('');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toBe(
      `error: build ${failedCopy} left no state to enter: what failed is [1/2] COPY not-there /\n` +
        'hint: what a failed RUN leaves is kept, of the last three for a week; ' +
        `tsbuild debug ${id} enters [1/2] RUN echo one > /which; exit 3\n`,
    );
    const entered = caller.tsbuild(['debug', id, '-c', 'cat /which']);
    expect(entered.stdout).toBe('one\n');
    expect(entered.stderr).toBe(
      `after [1/2] RUN echo one > /which; exit 3 of build ${id}, which is not the last one\n`,
    );
    expect(caller.tsbuild(['debug', 'nothing']).stderr).toContain('error: no build "nothing" is on record\n');
  });

  it('times in JSON are whole ms', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo timed\n' });
    caller.tsbuild(argsFor(context, '-t', 'timed:1'));
    const [image] = caller.tsbuild(['images', '--json']).stdout.split('\n');
    expect(JSON.parse(image ?? '').createdAtMs % 1).toBe(0);
    const [listed] = caller.tsbuild(['history', 'ls', '--json']).stdout.split('\n');
    const { id, startedAtMs, endedAtMs } = JSON.parse(listed ?? '');
    expect([startedAtMs % 1, endedAtMs % 1]).toEqual([0, 0]);
    for (const command of [
      ['history', 'inspect', id],
      ['explain', id],
    ]) {
      const { steps } = JSON.parse(caller.tsbuild([...command, '--json']).stdout);
      expect(steps.length).toBeGreaterThan(0);
      for (const step of steps) expect([step.startedAtMs % 1, step.endedAtMs % 1]).toEqual([0, 0]);
    }
  });

  it('logs and forgotten builds are told as JSON, too', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo logged\n' });
    caller.tsbuild(argsFor(context));
    const [listed] = caller.tsbuild(['history', 'ls', '--json']).stdout.split('\n');
    const { id: build } = JSON.parse(listed ?? '');
    const [log] = caller.tsbuild(['history', 'logs', build, '--json']).stdout.split('\n');
    expect(JSON.parse(log ?? '')).toMatchObject({ build, name: '[1/2] RUN echo logged', log: 'logged\n' });
    expect(caller.tsbuild(['history', 'rm', build, '--json']).stdout).toBe(`{"id":"${build}"}\n`);
  });

  it('tsbuild version --help says what it is', () => {
    expect(caller.tsbuild(['version', '--help']).stdout).toMatch(/^Usage: tsbuild version/);
    expect(caller.tsbuild(['version']).stdout).toMatch(/^tsbuild \d+\.\d+\.\d+\n$/);
  });

  it('tsbuild doctor --store names layers that are not what their digests say', () => {
    const store = join(caller.home, 'damaged');
    const context = writeContext(caller, { Dockerfile: 'FROM scratch\nCOPY f /\nCOPY g /\n', f: 'right', g: 'g' });
    expect(caller.tsbuild(argsFor(context), { store }).status).toBe(0);
    const sound = caller.tsbuild(['doctor', '--store'], { store });
    expect(sound.stdout).toMatch(/^ok +layers +2 layers, 0 MB: all are what their digests say$/m);
    const [path = ''] = execFileSync('grep', ['-rl', 'right', join(store, 'snapshots')], { encoding: 'utf8' }).split(
      '\n',
    );
    writeFileSync(path, 'wrong');
    const damaged = caller.tsbuild(['doctor', '--store'], { store });
    expect(damaged.status).toBe(1);
    expect(damaged.stdout).toContain(`1 of 2 snapshots are not what their digests say: ${join(path, '..', '..')}\n`);
    rmSync(join(path, '..'), { recursive: true });
    mkdirSync(join(path, '..', '..', 'other'));
    expect(caller.tsbuild(['doctor', '--store'], { store }).stdout).toMatch(/^blocked +layers +1 of 2/m);
  });
});
