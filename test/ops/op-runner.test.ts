import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import type { ExecMount } from '../../solver/op.ts';
import { createVertex } from '../../solver/vertex-factory.ts';
import { COPY } from './copy-room.ts';
import { BUSYBOX, RunnerRoom } from './runner-room.ts';

function cacheMount(dest: string, options: Partial<ExecMount> = {}): ExecMount {
  return { input: -1, dest, output: -1, type: 'cache', cache: { id: dest, sharing: 'shared' }, ...options };
}

describeNeeding(['root', BUSYBOX], 'the op runner', () => {
  let room: RunnerRoom;
  beforeEach(() => {
    room = new RunnerRoom();
  });
  afterEach(async () => {
    await room.end();
  });

  it('runs steps, keeps what they write, and finds everything again', async () => {
    room.write({ foo: 'data' });
    const head = room.ran(room.copied(room.rootfs(), '/foo', '/dst/'), 'cat /dst/foo > /out; echo said; echo err >&2');
    const result = await room.solve(head);
    expect(room.text(result, '/out')).toBe('data');
    expect(room.output()).toContain('said\n');
    expect(room.output()).toContain('err\n');
    expect(await room.solve(head)).toEqual(result);
    expect(room.ranSteps().filter((name) => name !== 'source')).toEqual([]);
  });

  it('runs a copy again only when what it copies has changed', async () => {
    room.write({ foo: '1', other: 'a' });
    const head = room.ran(room.copied(room.rootfs(), '/foo', '/dst/'), 'cat /dst/foo > /out');
    await room.solve(head);
    room.touch('foo', 1e9);
    room.write({ other: 'b' });
    await room.solve(head);
    expect(room.ranSteps().filter((name) => name !== 'source')).toEqual([]);
    room.write({ foo: '2' });
    room.touch('foo', 1e9);
    expect(room.text(await room.solve(head), '/out')).toBe('2');
    expect(room.ranSteps()).toContain('COPY /foo /dst/');
  });

  it('reports a failed step in BuildKit’s words and keeps its state and full log', async () => {
    const head = room.ran(room.rootfs(), 'echo before; echo half > /half; exit 3');
    await expect(room.solve(head)).rejects.toMatchObject({
      code: 'TSB_RUN_FAILED',
      message:
        'process "/bin/sh -c echo before; echo half > /half; exit 3" did not complete successfully: exit code: 3',
      hint: 'enter the failed state with: tsbuild debug',
    });
    const [failure] = room.failures;
    expect(room.log(failure)).toBe('before\n');
    expect(failure?.exit.code).toBe(3);
    expect(readFileSync(join(failure?.active.upperDir ?? '', 'half'), 'utf8')).toBe('half\n');
    expect(failure?.runSpec.process.cwd).toBe('/');
    const kept = room.store.db.all('SELECT * FROM actives WHERE is_kept = 1');
    expect(kept).toHaveLength(1);
  });

  it('keeps cache mounts from step to step and out of the result', async () => {
    const mounts = [cacheMount('/c')];
    await room.solve(room.ran(room.rootfs(), 'echo one >> /c/x', { mounts }));
    const result = await room.solve(room.ran(room.rootfs(), 'echo two >> /c/x; cat /c/x > /out', { mounts }));
    expect(room.text(result, '/out')).toBe('one\ntwo\n');
    expect(room.view(result).lookup('/c')).toBeUndefined();
  });

  it('begins a cache mount anew in a step that ignores the cache', async () => {
    const mounts = [cacheMount('/c')];
    await room.solve(room.ran(room.rootfs(), 'echo one >> /c/x', { mounts }));
    const anew = room.ran(room.rootfs(), 'echo two >> /c/x; cat /c/x > /out', { mounts, ignoreCache: true });
    expect(room.text(await room.solve(anew), '/out')).toBe('two\n');
    const later = room.ran(room.rootfs(), 'cat /c/x > /out', { mounts });
    expect(room.text(await room.solve(later), '/out')).toBe('two\n');
  });

  it('lets one step at a time use a locked cache mount', async () => {
    const mounts = [cacheMount('/c', { cache: { id: 'l', sharing: 'locked' } })];
    const step = (name: string) =>
      room.ran(room.rootfs(), `test ! -e /c/busy && touch /c/busy && sleep 0.2 && rm /c/busy; echo $? > /${name}`, {
        mounts,
      });
    const results = await Promise.all([room.solve(step('a')), room.solve(step('b'))]);
    expect(room.text(results[0] ?? { id: undefined }, '/a')).toBe('0\n');
    expect(room.text(results[1] ?? { id: undefined }, '/b')).toBe('0\n');
  });

  it('gives each of two steps at once a private cache mount of its own', async () => {
    const mounts = [cacheMount('/c', { cache: { id: 'p', sharing: 'private' } })];
    const step = (name: string) =>
      room.ran(room.rootfs(), `test ! -e /c/busy && touch /c/busy && sleep 0.3 && rm /c/busy; echo $? > /${name}`, {
        mounts,
      });
    const results = await Promise.all([room.solve(step('a')), room.solve(step('b'))]);
    expect(room.text(results[0] ?? { id: undefined }, '/a')).toBe('0\n');
    expect(room.text(results[1] ?? { id: undefined }, '/b')).toBe('0\n');
    expect(readdirSync(join(room.store.root, 'mounts')).length).toBeGreaterThanOrEqual(1);
  });

  it('shows a mounted build context as COPY would copy it, and throws writes away', async () => {
    room.write({ 'src/a': 'x', 'src/secret': 'y' });
    const bind: ExecMount = { input: 1, selector: '/src', dest: '/src', output: -1, type: 'bind' };
    const script = 'ls /src > /out; stat -c %u /src/a >> /out; echo w > /src/new && cat /src/new >> /out';
    const head = room.ran(room.rootfs(), script, { mounts: [bind], inputs: [room.local()] });
    const result = await room.solve(head, { ignore: ['src/secret'] });
    expect(room.text(result, '/out')).toBe('a\n0\nw\n');
    expect(room.view(result).lookup('/src')).toBeUndefined();
    const readonly = { ...bind, readonly: true };
    const again = room.ran(room.rootfs(), 'touch /src/new || echo refused > /out', {
      mounts: [readonly],
      inputs: [room.local()],
    });
    expect(room.text(await room.solve(again), '/out')).toBe('refused\n');
  });

  it('copies a mounted build context once for equal contents', async () => {
    room.write({ 'src/a': 'x' });
    const bind: ExecMount = { input: 1, selector: '/src', dest: '/src', output: -1, type: 'bind', readonly: true };
    const step = (script: string) => room.ran(room.rootfs(), script, { mounts: [bind], inputs: [room.local()] });
    const copies = () => room.store.db.all("SELECT * FROM snapshots WHERE chain_id LIKE 'context-mount:%'").length;
    await Promise.all([room.solve(step('cat /src/a > /one')), room.solve(step('cat /src/a > /two'))]);
    await room.solve(step('cat /src/a > /three'));
    expect(copies()).toBe(1);
    room.write({ 'src/a': 'y' });
    expect(room.text(await room.solve(step('cat /src/a > /four')), '/four')).toBe('y');
    expect(copies()).toBe(2);
  });

  it('mounts a single file of another stage', async () => {
    const other = room.ran(room.rootfs(), 'echo hi > /f');
    const bind: ExecMount = { input: 1, selector: '/f', dest: '/here', output: -1, type: 'bind', readonly: true };
    const head = room.ran(room.rootfs(), 'cat /here > /out', { mounts: [bind], inputs: [other] });
    expect(room.text(await room.solve(head), '/out')).toBe('hi\n');
  });

  it('hands secrets to the step and to nothing else', async () => {
    room.secrets.set('s1', 'hush');
    const secret = { id: 's1', uid: 0, gid: 0, mode: 0o400, optional: false };
    const mounts: ExecMount[] = [{ input: -1, dest: '/run/secrets/s1', output: -1, type: 'secret', secret }];
    const op = { secretEnv: [{ id: 's1', name: 'TOKEN', optional: false }] };
    const script = 'test "$(cat /run/secrets/s1)" = hush && test "$TOKEN" = hush && echo ok > /out && false';
    await expect(room.solve(room.ran(room.rootfs(), script, { mounts, op }))).rejects.toThrow('exit code: 1');
    const [failure] = room.failures;
    expect(readFileSync(join(failure?.active.upperDir ?? '', 'out'), 'utf8')).toBe('ok\n');
    expect(failure?.runSpec.process.env).toEqual(['PATH=/bin']);
    expect(failure?.runSpec.mounts).toEqual([]);
    expect(room.log(failure)).toBe('');
  });

  it('says which secret is missing, and runs without an optional one', async () => {
    const secret = { id: 'mysecret', uid: 0, gid: 0, mode: 0o400, optional: false };
    const mount = (optional: boolean): ExecMount => ({
      input: -1,
      dest: '/s',
      output: -1,
      type: 'secret',
      secret: { ...secret, optional },
    });
    await expect(room.solve(room.ran(room.rootfs(), 'true', { mounts: [mount(false)] }))).rejects.toMatchObject({
      code: 'TSB_SECRET_NOT_FOUND',
      message: 'secret mysecret: not found',
    });
    await room.solve(room.ran(room.rootfs(), 'test ! -e /s', { mounts: [mount(true)] }));
  });

  it('runs independent sleeping steps side by side', async () => {
    const sleepers = Array.from({ length: 8 }, (_, index) =>
      room.ran(room.rootfs(), `sleep 0.5; echo ${index} > /out${index}`),
    );
    const merge = createVertex({ kind: 'merge', inputs: sleepers.map((_, index) => index) }, sleepers, {
      name: 'merge',
    });
    const start = performance.now();
    const result = await room.solve({ vertex: merge, index: 0 });
    expect(performance.now() - start).toBeLessThan(3000);
    for (let index = 0; index < 8; index++) expect(room.text(result, `/out${index}`)).toBe(`${index}\n`);
  });

  it('merges a linked copy over a base without running it', async () => {
    room.write({ foo: 'x' });
    const link = room.copied(room.rootfs(), '/foo', '/ignored');
    const merge = createVertex({ kind: 'merge', inputs: [0, 1] }, [room.rootfs(), link], { name: 'merge' });
    const result = await room.solve({ vertex: merge, index: 0 });
    expect(room.text(result, '/ignored')).toBe('x');
    expect(room.view(result).lookup('/bin/sh')?.type).toBe('file');
  });

  it('takes off what a diff is built on', async () => {
    room.write({ foo: 'x' });
    const base = room.rootfs();
    const diff = createVertex({ kind: 'diff', lower: 0, upper: 1 }, [base, room.copied(base, '/foo', '/f')], {
      name: 'diff',
    });
    expect(room.listing(await room.solve({ vertex: diff, index: 0 }))).toEqual(['/f file 0644 0:0 x']);
    const other = createVertex({ kind: 'diff', lower: 0, upper: 1 }, [room.ran(base, 'true'), room.ran(base, 'echo')], {
      name: 'diff',
    });
    await expect(room.solve({ vertex: other, index: 0 })).rejects.toMatchObject({ code: 'TSB_DIFF_UNSUPPORTED' });
  });

  it('names the nearest file when a source is missing', async () => {
    room.write({ 'a.txt': '', 'd/file.md': '' });
    await expect(room.solve(room.copied(room.rootfs(), '/a.tx', '/x'))).rejects.toMatchObject({
      code: 'TSB_COPY_SOURCE_NOT_FOUND',
      message: '"/a.tx": not found',
      hint: 'did you mean "a.txt"?',
    });
    await expect(room.solve(room.copied(room.rootfs(), '/d/fiel.md', '/x'))).rejects.toMatchObject({
      hint: 'did you mean "d/file.md"?',
    });
    await expect(room.solve(room.copied(room.rootfs(), '/e/f', '/x'))).rejects.toMatchObject({
      hint: 'did you mean "d"?',
    });
  });

  it('names the line of the ignore file that leaves a source out', async () => {
    room.write({ 'ignored.txt': '' });
    const head = room.copied(room.rootfs(), '/ignored.txt', '/x');
    await expect(room.solve(head, { ignore: ['bin/x', 'ignored.*'] })).rejects.toMatchObject({
      message: '"/ignored.txt": not found',
      hint: 'line 2 of the ignore file excludes it: ignored.*',
    });
  });

  it('refuses sources it cannot load', async () => {
    const git = createVertex({ kind: 'source', identifier: 'other://host/x', attrs: {} }, [], { name: 'git' });
    await expect(room.solve({ vertex: git, index: 0 })).rejects.toMatchObject({
      code: 'TSB_SOURCE_UNSUPPORTED',
      message: 'cannot load "other://host/x": sources of this kind are not supported yet',
    });
    const local = createVertex({ kind: 'source', identifier: 'local://other', attrs: {} }, [], { name: 'local' });
    await expect(room.solve({ vertex: local, index: 0 })).rejects.toThrow('no build context named "other"');
  });

  it('never caches a file that changed between being digested and being copied', async () => {
    room.write({ foo: 'old' });
    const head = room.copied(room.rootfs(), '/foo', '/f');
    const runner = room.runner();
    const context = { signal: new AbortController().signal, emit: () => {}, ignoreCache: false };
    const local = room.local().vertex;
    const [source] = await runner.run(local, [], context);
    const selectors = [{ path: '/foo', wildcard: false, followLinks: true }];
    await runner.contentDigest(local, source ?? { id: undefined }, selectors, context);
    room.write({ foo: 'new' });
    const inputs = [{ id: undefined }, source ?? { id: undefined }];
    await expect(runner.run(head.vertex, inputs, context)).rejects.toMatchObject({
      code: 'TSB_CONTEXT_CHANGED',
      message: '"/foo" changed while the build was reading it',
    });
    expect(room.text(await room.solve(head), '/f')).toBe('new');
  });

  it('copies what it digested of a file that only grows', async () => {
    room.write({ log: 'begin' });
    const runner = room.runner();
    const context = { signal: new AbortController().signal, emit: () => {}, ignoreCache: false };
    const local = room.local().vertex;
    const [source = { id: undefined }] = await runner.run(local, [], context);
    await runner.contentDigest(local, source, [{ path: '/log', wildcard: false, followLinks: true }], context);
    writeFileSync(join(room.context, 'log'), ' and more', { flag: 'a' });
    const head = room.copied(room.rootfs(), '/log', '/f');
    const [result = { id: undefined }] = await runner.run(head.vertex, [{ id: undefined }, source], context);
    expect(room.text(result, '/f')).toBe('begin');
  });

  it('digests and copies thousands of files in a moment, and less when little has changed', async () => {
    const names = Array.from({ length: 5000 }, (_, index) => `many/d${index % 50}/f${index}`);
    room.write(Object.fromEntries(names.map((name) => [name, name])));
    const head = room.copied(room.rootfs(), '/many', '/app');
    const timed = async (): Promise<number> => {
      const start = performance.now();
      await room.solve(head);
      return performance.now() - start;
    };
    expect(await timed()).toBeLessThan(10_000);
    room.write({ 'many/d1/f1': 'changed' });
    expect(await timed()).toBeLessThan(5_000);
    expect(await timed()).toBeLessThan(2_000);
    expect(room.ranSteps().filter((name) => name !== 'source')).toEqual([]);
  });

  it('links unchanged files from the result before and copies the others', async () => {
    room.write({ 'src/a': 'same', 'src/b': '1', 'src/sub/c': 'same' });
    const head = room.copied(room.rootfs(), '/src', '/app');
    const first = await room.solve(head);
    room.write({ 'src/b': '2' });
    const second = await room.solve(head);
    const inode = (result: typeof first, path: string) => room.view(result).lookup(path)?.ino;
    expect(inode(second, '/app/a')).toBe(inode(first, '/app/a'));
    expect(inode(second, '/app/sub/c')).toBe(inode(first, '/app/sub/c'));
    expect(room.text(first, '/app/b')).toBe('1');
    expect(room.text(second, '/app/b')).toBe('2');
    const run = room.ran(head, 'echo changed > /app/a');
    expect(room.text(await room.solve(run), '/app/a')).toBe('changed\n');
    expect(room.text(first, '/app/a')).toBe('same');
  });

  it('does not link a file whose place another source has taken', async () => {
    room.write({ 'one/x': 'file', 'two/': '' });
    symlinkSync('elsewhere', join(room.context, 'two/x'));
    const copies = (dest: string) => [
      { ...COPY, src: '/one', dest, output: -1 },
      { ...COPY, src: '/two', dest, input: 2 },
    ];
    const head = createVertex({ kind: 'file', actions: copies('/d') }, [room.rootfs(), room.local()], { name: 'COPY' });
    await room.solve({ vertex: head, index: 0 });
    room.write({ 'two/y': 'more' });
    const second = await room.solve({ vertex: head, index: 0 });
    expect(room.view(second).lookup('/d/x')?.type).toBe('symlink');
    room.write({ 'two/z': 'more' });
    const { unlinkSync } = await import('node:fs');
    unlinkSync(join(room.context, 'two/x'));
    expect(room.text(await room.solve({ vertex: head, index: 0 }), '/d/x')).toBe('file');
  });
});
