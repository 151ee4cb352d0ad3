// Caches in a bucket, through a server of another make.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const SECRET = 'S3RVER';

describeRoot('caches in S3', {}, (caller) => {
  let server: ChildProcess;
  let context: string;
  let base: string;
  let objects: string;
  let place: string;
  beforeAll(async () => {
    base = `base=oci-layout://${makeBase()}`;
    objects = join(caller.home, 'objects');
    context = writeContext(caller, {
      Dockerfile: 'FROM base AS a\nRUN echo one > /one\nFROM a\nRUN echo two > /two\n',
    });
    server = spawn(process.execPath, [join(import.meta.dirname, 's3-server.mjs'), objects], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [port] = server.stdout === null ? [''] : await once(server.stdout, 'data');
    const where = `region=us-east-1,endpoint_url=http://127.0.0.1:${String(port).trim()},use_path_style=true`;
    place = `type=s3,bucket=caches,${where},prefix=ci/,name=one;two,access_key_id=${SECRET},secret_access_key=${SECRET}`;
  });
  afterAll(async () => {
    if (server !== undefined && server.exitCode === null) {
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    }
  });

  const build = (store: string, ...flags: readonly string[]) =>
    caller.tsbuild(['build', '--progress=plain', '--build-context', base, ...flags, context], {
      store: join(caller.home, store),
    });

  it('are written as BuildKit lays them out, and come back without a step run or a layer fetched', () => {
    const exported = build('first', '--cache-to', `${place},mode=max`);
    expect(outputOf(exported)).toContain('exporting cache to Amazon S3');
    const manifests = join(objects, 'caches', 'ci', 'manifests');
    const read = (name: string): string => readFileSync(join(manifests, `${name}._S3rver_object`), 'utf8');
    expect(read('one')).toBe(read('two'));
    const config = JSON.parse(read('one'));
    expect(Object.keys(config)).toEqual(['layers', 'records']);
    for (const { blob, annotations } of config.layers) {
      expect(Object.keys(annotations)).toEqual(['mediaType', 'diffID', 'size', 'createdAt']);
      expect(readdirSync(join(objects, 'caches', 'ci', 'blobs'))).toContain(`${blob}._S3rver_object`);
    }
    const imported = build('second', '--cache-from', place);
    expect(imported.stdout).toBe(exported.stdout);
    expect(outputOf(imported).match(/^#\d+ CACHED$/gm)?.length).toBeGreaterThanOrEqual(2);
    // The image's config, and the manifest and config of its base.
    expect(readdirSync(join(caller.home, 'second', 'blobs', 'sha256')).length).toBeLessThanOrEqual(3);
    const files = join(caller.home, 'files');
    expect(outputOf(build('second', '--cache-from', place, '-o', files))).not.toContain('warning');
    expect(readFileSync(join(files, 'two'), 'utf8')).toBe('two\n');
  });

  it('leave no credentials in the store', () => {
    const found = caller.run('grep', ['-rlF', SECRET, join(caller.home, 'first'), join(caller.home, 'second')]);
    expect(found.stdout).toBe('');
  });

  it('that are refused are a warning', () => {
    const refused = build('third', '--cache-from', place.replace(`access_key_id=${SECRET}`, 'access_key_id=OTHER'));
    expect(refused.status, outputOf(refused)).toBe(0);
    expect(outputOf(refused)).toMatch(
      /warning: cannot import the cache s3:\/\/caches\/ci\/manifests\/one: S3: GET "http:\/\/127\.0\.0\.1:\d+\/caches\/ci\/manifests\/one": 403 Forbidden: InvalidAccessKeyId: /,
    );
  });

  it('need credentials', () => {
    const none = build('fourth', '--cache-from', place.replace(/,access_key_id=.*/, ''));
    expect(outputOf(none)).toContain(
      'warning: cannot import the cache s3://caches/ci/manifests/one: no credentials for the S3 bucket "caches"',
    );
  });
});
