// SOURCE_DATE_EPOCH: equal input makes equal images, whenever and in whatever order its files were made.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { makeBase, outputOf, rootCaller, writeContext } from './harness.ts';

const base = makeBase();
const caller = rootCaller();
afterAll(() => caller.dispose());

const EPOCH = 1700000000;
const DOCKERFILE =
  'FROM base\nWORKDIR /app/deep\nCOPY src/ src/\nCOPY <<E note\ntext\nE\nRUN echo made > made && mkdir dir && echo x > dir/x\nCMD ["sh"]\n';

/** The same files, written in the given order and with the given times. */
function context(names: readonly string[], timeSeconds: number): string {
  const dir = writeContext(caller, { Dockerfile: DOCKERFILE });
  mkdirSync(join(dir, 'src'));
  for (const name of names) {
    writeFileSync(join(dir, 'src', name), `file ${name}`);
    utimesSync(join(dir, 'src', name), timeSeconds, timeSeconds);
  }
  return dir;
}

function build(
  context: string,
  output: string,
  options: { store: string; env?: Record<string, string>; flags?: string[] },
) {
  const result = caller.tsbuild(
    [
      '--progress=plain',
      '--build-context',
      `base=oci-layout://${base}`,
      ...(options.flags ?? []),
      '-o',
      output,
      context,
    ],
    { store: join(caller.home, options.store), ...(options.env && { env: options.env }) },
  );
  expect(result.status, outputOf(result)).toBe(0);
  return result;
}

const env = { SOURCE_DATE_EPOCH: String(EPOCH) };

it('two stores, two times and two orders of files make one digest with rewrite-timestamp=true', () => {
  const output = (name: string) => `type=oci,rewrite-timestamp=true,dest=${join(caller.home, name)}`;
  build(context(['a', 'b', 'c'], EPOCH + 5000), output('one.tar'), { store: 'one', env });
  build(context(['c', 'a', 'b'], EPOCH + 90000), output('two.tar'), { store: 'two', env });
  expect(readFileSync(join(caller.home, 'one.tar')).equals(readFileSync(join(caller.home, 'two.tar')))).toBe(true);
}, 60_000);

it('the layers made here hold no later time, and say so', () => {
  const layout = join(caller.home, 'layout');
  const output = `type=oci,tar=false,rewrite-timestamp=true,dest=${layout}`;
  build(context(['a'], EPOCH + 5000), output, { store: 'one', env });
  const blob = (digest: string) => join(layout, 'blobs/sha256', digest.slice('sha256:'.length));
  const read = (digest: string) => JSON.parse(readFileSync(blob(digest), 'utf8')) as Readonly<Record<string, never>>;
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
    manifests: { digest: string; annotations: Record<string, string> }[];
  };
  expect(index.manifests[0]?.annotations['org.opencontainers.image.created']).toBe('2023-11-14T22:13:20Z');
  const manifest = read(index.manifests[0]!.digest) as unknown as {
    config: { digest: string };
    layers: { digest: string; annotations?: Record<string, string> }[];
  };
  const [baseLayer, ...own] = manifest.layers;
  expect(baseLayer?.annotations).toBeUndefined();
  expect(own.length).toBe(4);
  for (const layer of own) {
    expect(layer.annotations).toEqual({ 'buildkit/rewritten-timestamp': String(EPOCH) });
    const list = execFileSync('tar', ['--utc', '-tvzf', blob(layer.digest)], { encoding: 'utf8' });
    for (const line of list.trim().split('\n')) expect(line).toContain('2023-11-14 22:13');
  }
  expect(read(manifest.config.digest)).toMatchObject({ created: '2023-11-14T22:13:20Z' });
});

it('WORKDIR makes directories of that time without rewriting, so two builds are equal', () => {
  const text = 'FROM scratch\nWORKDIR /a/b\n';
  const ids = ['x', 'y'].map(
    (store) => build(writeContext(caller, { Dockerfile: text }), `${caller.home}/${store}-out`, { store, env }).stdout,
  );
  expect(ids[0]).toBe(ids[1]);
});

it('files written out are no younger', () => {
  const out = join(caller.home, 'out');
  build(context(['a'], EPOCH - 5), out, { store: 'three', env });
  expect(statSync(join(out, 'app/deep/made')).mtimeMs).toBe(EPOCH * 1000);
  expect(statSync(join(out, 'app/deep/src/a')).mtimeMs).toBe((EPOCH - 5) * 1000);
  build(context(['a'], EPOCH), `type=tar,dest=${out}.tar`, { store: 'three', env });
  expect(execFileSync('tar', ['--utc', '-tvf', `${out}.tar`, 'app/deep/made'], { encoding: 'utf8' })).toContain(
    '2023-11-14 22:13',
  );
});

it('the build arg wins over the environment, and an empty one resets', () => {
  const created = (flags: string[]) => {
    const layout = join(caller.home, `created-${Math.random()}`);
    const result = build(
      writeContext(caller, { Dockerfile: 'ARG SOURCE_DATE_EPOCH=7\nFROM scratch\nCOPY <<E /f\nE\n' }),
      `type=oci,tar=false,dest=${layout}`,
      { store: 'one', env, flags },
    );
    const id = result.stdout.trim().slice('sha256:'.length);
    return (JSON.parse(readFileSync(join(layout, 'blobs/sha256', id), 'utf8')) as { created: string }).created;
  };
  expect(created([])).toBe('2023-11-14T22:13:20Z');
  expect(created(['--build-arg', 'SOURCE_DATE_EPOCH=8'])).toBe('1970-01-01T00:00:08Z');
  expect(created(['--build-arg', 'SOURCE_DATE_EPOCH='])).not.toMatch(/^(1970|2023)/);
});

it('of an archive as context, it can be the time of the newest file', () => {
  const dir = context(['a', 'b'], EPOCH - 100);
  for (const path of ['.', 'src', 'Dockerfile']) utimesSync(join(dir, path), EPOCH - 200, EPOCH - 200);
  const input = execFileSync('tar', ['-c', '.'], { cwd: dir });
  const layout = join(caller.home, 'from-archive');
  const result = caller.tsbuild(
    [
      '--build-context',
      `base=oci-layout://${base}`,
      '--build-arg',
      'SOURCE_DATE_EPOCH=context',
      '-o',
      `type=oci,tar=false,dest=${layout}`,
      '-',
    ],
    { input },
  );
  expect(result.status, outputOf(result)).toBe(0);
  const config = readFileSync(join(layout, 'blobs/sha256', result.stdout.trim().slice('sha256:'.length)), 'utf8');
  expect(config).toContain('"created":"2023-11-14T22:11:40Z"');
});

it('refuses what is no time', () => {
  const result = caller.tsbuild([
    '--build-arg',
    'SOURCE_DATE_EPOCH=soon',
    writeContext(caller, { Dockerfile: 'FROM scratch\n' }),
  ]);
  expect(result.stderr).toContain('error: invalid SOURCE_DATE_EPOCH: soon');
});
