// Caches in a bucket whose server believes nobody: each request is checked by another implementation of the signature.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const KEY = 'AKIDEXAMPLE';
const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
const TOKEN = 'IQoJb3JpZ2luX2VjE//////////wEaCXVz+LWVhc3Q=';
/** Debian's own has Debian's packages; another one may come first in PATH. */
const PYTHON = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';
const BOTOCORE = { name: 'python3-botocore', isHere: spawnSync(PYTHON, ['-c', 'import botocore']).status === 0 };
const MISMATCH =
  '403 Forbidden: SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your key and signing method.';

describeRoot('signed requests to S3', { needs: [BOTOCORE], timeout: 120_000 }, (caller) => {
  const servers: ChildProcess[] = [];
  let base: readonly string[];
  let context: string;
  let plainPort: string;
  let tokenPort: string;
  let objects: string;

  const start = async (program: string, args: readonly string[]): Promise<string> => {
    const server = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    servers.push(server);
    const [port] = await once(server.stdout, 'data');
    return String(port).trim();
  };
  beforeAll(async () => {
    base = ['--build-context', `base=oci-layout://${makeBase()}`];
    objects = join(caller.home, 'objects');
    context = writeContext(caller, {
      Dockerfile: 'FROM base AS a\nRUN echo one > /one\nFROM a\nRUN echo two > /two\n',
    });
    const upstream = await start(process.execPath, [join(import.meta.dirname, 's3-server.mjs'), objects]);
    const verifier = join(import.meta.dirname, 's3-verifier.py');
    plainPort = await start(PYTHON, [verifier, upstream, KEY, SECRET]);
    tokenPort = await start(PYTHON, [verifier, upstream, KEY, SECRET, TOKEN]);
  });
  afterAll(async () => {
    for (const server of servers) {
      if (server.exitCode !== null) continue;
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    }
  });

  const build = (store: string, flags: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    caller.tsbuild(['build', '--progress=plain', ...base, ...flags, context], { store: join(caller.home, store), env });
  const place = (prefix: string, more = ''): string =>
    `type=s3,bucket=caches,region=eu-north-1,endpoint_url=http://127.0.0.1:${plainPort},use_path_style=true,prefix=${prefix},access_key_id=${KEY},secret_access_key=${SECRET}${more}`;
  /** Exports from a store, and imports into an empty one. */
  const thereAndBack = (name: string, where: string, env: Readonly<Record<string, string>> = {}): void => {
    const exported = build('origin', ['--cache-to', `${where},mode=max,ignore-error=false`], env);
    expect(exported.status, outputOf(exported)).toBe(0);
    const out = join(caller.home, `${name}-files`);
    const imported = build(name, ['--cache-from', where, '-o', out], env);
    expect(outputOf(imported)).not.toContain('warning');
    expect(outputOf(imported).match(/^#\d+ CACHED$/gm)?.length).toBeGreaterThanOrEqual(2);
    expect(readdirSync(out)).toContain('two');
  };

  it.each([
    ['plain', 'ci/'],
    ['blanks', 'a b/'],
    ['signs', "+~!*'()&=@$:;?#%2F/"],
    ['unicode', 'ü/日本/'],
    ['empty', ''],
  ])('are good for a prefix with %s', (name, prefix) => {
    thereAndBack(`prefix-${name}`, place(prefix));
  });

  it('are good for names with blanks and signs, and for objects that are touched', () => {
    thereAndBack('names', place('n/', ',name=tw o+é;@3'));
    const touched = build('origin', [
      '--cache-to',
      `${place('n/', ',name=tw o+é')},touch_refresh=0,ignore-error=false`,
    ]);
    expect(touched.status, outputOf(touched)).toBe(0);
  });

  it('are good with the token of temporary credentials, of the flags and of the environment', () => {
    const where = `type=s3,bucket=caches,region=us-east-1,endpoint_url=http://127.0.0.1:${tokenPort},use_path_style=true,prefix=t/`;
    thereAndBack('token', `${where},access_key_id=${KEY},secret_access_key=${SECRET},session_token=${TOKEN}`);
    const env = { AWS_ACCESS_KEY_ID: KEY, AWS_SECRET_ACCESS_KEY: SECRET, AWS_SESSION_TOKEN: TOKEN };
    thereAndBack('environment', where, env);
    const without = build('no-token', ['--cache-from', `${where},access_key_id=${KEY},secret_access_key=${SECRET}`]);
    expect(outputOf(without)).toContain('403 Forbidden: InvalidToken: ');
  });

  it('are good where the bucket is part of the name of the host', () => {
    const where = `type=s3,bucket=caches,region=eu-north-1,endpoint_url=http://s3.test,prefix=v h+/,access_key_id=${KEY},secret_access_key=${SECRET}`;
    thereAndBack('virtual', where, { http_proxy: `http://127.0.0.1:${plainPort}`, no_proxy: '' });
    expect(readdirSync(join(objects, 'caches'))).toContain('v h+');
  });

  it('with a wrong secret are a warning for an import, and an error for an export that must not fail', () => {
    const where = place('ci/').replace(SECRET, 'wrong');
    const url = `http://127.0.0.1:${plainPort}/caches/ci`;
    const imported = build('wrong', ['--cache-from', where]);
    expect(imported.status, outputOf(imported)).toBe(0);
    expect(outputOf(imported)).toContain(
      `warning: cannot import the cache s3://caches/ci/manifests/buildkit: S3: GET "${url}/manifests/buildkit": ${MISMATCH}`,
    );
    const exported = build('wrong', ['--cache-to', `${where},ignore-error=false`]);
    expect(exported.status).toBe(1);
    expect(outputOf(exported)).toMatch(/error: S3: HEAD "http:[^"]*\/blobs\/sha256%3A\w{64}": 403 Forbidden\n/);
    expect(outputOf(exported)).toContain('check access_key_id, secret_access_key and region, and what they allow');
  });
});
