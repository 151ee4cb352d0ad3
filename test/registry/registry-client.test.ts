import { expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { formatReference, type ImageReference, parseReference } from '../../frontend/reference.ts';
import { digestOf, parseDigest } from '../../solver/digest.ts';
import type { Descriptor } from '../../src/image/descriptor.ts';
import type { RegistryClient } from '../../src/registry/registry-client.ts';
import { type FixtureImage, makeImage, pushImage, tarOf } from './image-fixture.ts';
import {
  basicAuth,
  dockerConfig,
  forward,
  freePort,
  PASSWORD,
  REGISTRY_PROGRAM,
  registryRig,
  rejection,
  USER,
} from './registry-rig.ts';

const PUSHED = await fixture();

describeNeeding([REGISTRY_PROGRAM], 'RegistryClient', () => {
  const rig = registryRig();
  const shared = rig.start().then(async (registry) => {
    await pushImage(registry.host, 'lib/app', '1', PUSHED);
    return registry;
  });

  it('resolves a tag with one HEAD and fetches manifest and blobs', async () => {
    const { host } = await shared;
    const proxy = await rig.proxy(host, () => false);
    const client = rig.client();
    const reference = parseReference(`${proxy.host}/lib/app:1`);
    expect(await client.resolve(reference)).toEqual({ descriptor: PUSHED.root });
    expect(proxy.requests).toEqual(['HEAD /v2/lib/app/manifests/1']);
    const manifest = await client.fetchManifest(reference);
    expect(manifest.descriptor).toEqual(PUSHED.root);
    expect(digestOf(manifest.bytes)).toBe(PUSHED.root.digest);
    const { tag: _tag, ...name } = reference;
    expect((await client.fetchManifest({ ...name, digest: PUSHED.root.digest })).bytes).toEqual(manifest.bytes);
    await expectBlob(client, reference, blob());
    expect(await collect(client.fetchBlob(reference, blob(), { offset: 100 }))).toEqual(bytesOf(blob()).subarray(100));
  });

  it('falls back to GET when a HEAD does not say the digest', async () => {
    const { host } = await shared;
    const { host: quiet, requests } = await rig.proxy(host, (request, response) => {
      if (request.method !== 'HEAD') return false;
      response.writeHead(405).end();
      return true;
    });
    expect((await rig.client().resolve(parseReference(`${quiet}/lib/app:1`))).descriptor).toEqual(PUSHED.root);
    expect(requests).toHaveLength(2);
  });

  it('says that a tag, a repository or a digest is not found', async () => {
    const { host } = await shared;
    const client = rig.client();
    for (const name of ['lib/app:none', 'lib/none:latest', `lib/app@sha256:${'0'.repeat(64)}`]) {
      const reference = parseReference(`${host}/${name}`);
      expect(await rejection(client.resolve(reference))).toEqual({
        code: 'TSB_REGISTRY_NOT_FOUND',
        message: `${host}/${name}: not found`,
        hint: 'check the spelling of the name and its tag',
      });
      expect((await rejection(client.fetchManifest(reference))).code).toBe('TSB_REGISTRY_NOT_FOUND');
    }
    const missing: Descriptor = { ...blob(), digest: parseDigest(`sha256:${'1'.repeat(64)}`) };
    const blobError = await rejection(collect(client.fetchBlob(parseReference(`${host}/lib/app`), missing)));
    expect(blobError.message).toBe(`${host}/lib/app@${missing.digest}: not found`);
  });

  it('names host, port and cause of a registry that cannot be reached', async () => {
    const host = `127.0.0.1:${await freePort()}`;
    expect(await rejection(rig.client().resolve(parseReference(`${host}/x`)))).toEqual({
      code: 'TSB_REGISTRY_UNREACHABLE',
      message: `failed to do request: Head "http://${host}/v2/x/manifests/latest": dial tcp ${host}: connect: connection refused`,
      hint: `check that the registry ${host} is up and reachable from here, and the spelling of its name`,
    });
    expect(await rejection(rig.client().resolve(parseReference('registry.invalid/x')))).toMatchObject({
      code: 'TSB_REGISTRY_UNREACHABLE',
      message: expect.stringMatching(
        /^failed to do request: Head "https:\/\/registry\.invalid\/v2\/x\/manifests\/latest": dial tcp: lookup registry\.invalid: /,
      ),
    });
    expect(await rejection(rig.client().resolve(parseReference('127.0.0.1:99999/x')))).toMatchObject({
      message: '"127.0.0.1:99999" is no address of a registry',
    });
  });

  it('gives up on a registry that does not answer in time', async () => {
    const host = await rig.serve(() => {});
    const client = rig.client({ answerTimeoutMs: 50 });
    expect(await rejection(client.resolve(parseReference(`${host}/x`)))).toMatchObject({
      code: 'TSB_REGISTRY_UNREACHABLE',
      message: `failed to do request: Head "http://${host}/v2/x/manifests/latest": dial tcp ${host}: i/o timeout`,
    });
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const host = await rig.serve(() => controller.abort(new Error('stopped')));
    const error = await rejection(rig.client().resolve(parseReference(`${host}/x`), { signal: controller.signal }));
    expect(error.message).toBe('stopped');
  });

  it('tries again after errors of the server, as long as the server asks', async () => {
    const { host } = await shared;
    const statuses = [500, 503, 429];
    const proxy = await rig.proxy(host, (_request, response, count) => {
      const status = statuses[count - 1];
      if (status === undefined) return false;
      response.writeHead(status, status === 429 ? { 'retry-after': '1' } : {}).end();
      return true;
    });
    const startedAt = performance.now();
    expect((await rig.client().resolve(parseReference(`${proxy.host}/lib/app:1`))).descriptor).toEqual(PUSHED.root);
    expect(proxy.requests).toHaveLength(4);
    expect(performance.now() - startedAt).toBeGreaterThan(990);
  });

  it('gives up after a bounded number of tries, at once when it would have to wait long', async () => {
    const failing = await rig.proxy('', (_request, response) => Boolean(response.writeHead(502).end()));
    expect(await rejection(rig.client().resolve(parseReference(`${failing.host}/x`)))).toEqual({
      code: 'TSB_REGISTRY_UNAVAILABLE',
      message: `unexpected status from HEAD request to http://${failing.host}/v2/x/manifests/latest: 502 Bad Gateway`,
      hint: `the registry ${failing.host} is in trouble: try again later`,
    });
    expect(failing.requests).toHaveLength(4);
    const busy = await rig.proxy('', (_request, response) =>
      Boolean(response.writeHead(429, { 'retry-after': '3600' }).end()),
    );
    expect(await rejection(rig.client().fetchManifest(parseReference(`${busy.host}/x`)))).toEqual({
      code: 'TSB_REGISTRY_RATE_LIMITED',
      message: `unexpected status from GET request to http://${busy.host}/v2/x/manifests/latest: 429 Too Many Requests`,
      hint: `${busy.host} limits how often it can be asked: wait, or log in for a higher limit`,
    });
    expect(busy.requests).toHaveLength(1);
  });

  it('takes a blob up where its connection broke', async () => {
    const { host } = await shared;
    let left = 3;
    const proxy = await rig.proxy(host, (request, response) => {
      if (!request.url?.includes('/blobs/') || left-- <= 0) return false;
      forward(host, request, response, (body, outgoing) => {
        body.once('data', (chunk: Buffer) => outgoing.write(chunk.subarray(0, 1000), () => outgoing.destroy()));
      });
      return true;
    });
    const client = rig.client();
    await expectBlob(client, parseReference(`${proxy.host}/lib/app`), blob());
    const last = blob().size - 1;
    expect(proxy.requests.map((request) => request.split(' ')[2])).toEqual([
      undefined,
      `bytes=1000-${last}`,
      `bytes=2000-${last}`,
      `bytes=3000-${last}`,
    ]);
  });

  it('skips what it has when the server knows no ranges', async () => {
    const { host } = await shared;
    let isFirst = true;
    const proxy = await rig.proxy(host, (request, response) => {
      const { range: _range, ...headers } = request.headers;
      request.headers = headers;
      if (!isFirst) return false;
      isFirst = false;
      forward(host, request, response, (body, outgoing) => {
        body.once('data', (chunk: Buffer) => outgoing.write(chunk.subarray(0, 1234), () => outgoing.destroy()));
      });
      return true;
    });
    await expectBlob(rig.client(), parseReference(`${proxy.host}/lib/app`), blob());
    expect(proxy.requests).toHaveLength(2);
  });

  it('gives up on a blob that never goes on', async () => {
    const { host } = await shared;
    const proxy = await rig.proxy(host, (request, response) => {
      forward(host, request, response, (_body, outgoing) => outgoing.write('', () => outgoing.destroy()));
      return true;
    });
    const error = await rejection(collect(rig.client().fetchBlob(parseReference(`${proxy.host}/lib/app`), blob())));
    expect(error).toMatchObject({
      code: 'TSB_REGISTRY_UNREACHABLE',
      message: `failed to do request: Get "http://${proxy.host}/v2/lib/app/blobs/${blob().digest}": read tcp ${proxy.host}: connection reset by peer`,
    });
  });

  it('refuses a blob that is longer than it should be', async () => {
    const { host } = await shared;
    const short = { ...blob(), size: 1000 };
    const error = await rejection(collect(rig.client().fetchBlob(parseReference(`${host}/lib/app`), short)));
    expect(error).toEqual({
      code: 'TSB_REGISTRY_BAD_ANSWER',
      message: `${host}/lib/app@${short.digest}: the registry sent more than the 1000 bytes it has`,
      hint: 'the registry, or a proxy on the way to it, is broken: try again, or pull from another one',
    });
  });

  it('refuses a manifest that has not the digest asked for', async () => {
    const { host } = await shared;
    const lying = await rig.proxy(host, (request, response) => {
      request.url = request.url?.replace(/sha256:.*/, '1') ?? '';
      forward(host, request, response);
      return true;
    });
    const wanted = `sha256:${'a'.repeat(64)}`;
    const name = `${lying.host}/lib/app@${wanted}`;
    const expected = {
      code: 'TSB_REGISTRY_BAD_ANSWER',
      message: `${name}: the registry sent ${PUSHED.root.digest} instead of ${wanted}`,
    };
    expect(await rejection(rig.client().fetchManifest(parseReference(name)))).toMatchObject(expected);
    expect(await rejection(rig.client().resolve(parseReference(name)))).toMatchObject(expected);
  });

  it('follows redirects of blobs without taking the credentials along', async () => {
    const { host } = await rig.start({ auth: 'basic' });
    await pushImage(host, 'lib/app', '1', PUSHED, `Basic ${basicAuth(USER, PASSWORD)}`);
    const seen: (string | undefined)[] = [];
    const storage = await rig.serve((request, response) => {
      seen.push(request.headers.authorization);
      response.end(bytesOf(blob()));
    });
    const proxy = await rig.proxy(host, (request, response) => {
      if (!request.url?.includes('/blobs/') || request.headers.authorization === undefined) return false;
      response.writeHead(307, { location: `http://${storage}/data?signature=s3cret` }).end();
      return true;
    });
    const environment = dockerConfig(rig.directory(), {
      auths: { [proxy.host]: { auth: basicAuth(USER, PASSWORD) } },
    });
    await expectBlob(rig.client({ environment }), parseReference(`${proxy.host}/lib/app`), blob());
    expect(seen).toEqual([undefined]);
  });

  it('logs in with a password, and says where it looked when it cannot', async () => {
    const { host } = await rig.start({ auth: 'basic' });
    await pushImage(host, 'lib/app', '1', PUSHED, `Basic ${basicAuth(USER, PASSWORD)}`);
    const reference = parseReference(`${host}/lib/app:1`);
    const directory = rig.directory();
    const environment = dockerConfig(directory, { auths: { [host]: { auth: basicAuth(USER, PASSWORD) } } });
    const client = rig.client({ environment });
    expect((await client.resolve(reference)).descriptor).toEqual(PUSHED.root);
    await expectBlob(client, reference, blob());

    const wrong = dockerConfig(rig.directory(), { auths: { [host]: { auth: basicAuth(USER, 's3cret') } } });
    const refused = `${host}/lib/app:1: pull access denied, repository does not exist or may require authorization: 401 Unauthorized`;
    expect(await rejection(rig.client({ environment: wrong }).resolve(reference))).toEqual({
      code: 'TSB_REGISTRY_UNAUTHORIZED',
      message: `${refused} (the credentials in "${wrong.DOCKER_CONFIG}/config.json" were refused)`,
      hint: `check the spelling of the name, or log in: docker login ${host}`,
    });
    const helperless = dockerConfig(rig.directory(), { credsStore: 'nowhere' });
    expect((await rejection(rig.client({ environment: helperless }).resolve(reference))).message).toBe(
      `${refused} (no credentials for ${host} in "${helperless.DOCKER_CONFIG}/config.json"; credential helper failed: docker-credential-nowhere: not found in PATH)`,
    );
  });

  it('goes through a proxy, but not to this machine', async () => {
    const { host } = await shared;
    const proxy = await rig.proxy(host, (request) => {
      request.url = new URL(request.url ?? '', 'http://x').pathname;
      return false;
    });
    const environment = { HTTP_PROXY: `http://${proxy.host}`, NO_PROXY: 'other.example' };
    const client = rig.client({ environment, insecure: ['registry.example'] });
    expect((await client.resolve(parseReference('registry.example/lib/app:1'))).descriptor).toEqual(PUSHED.root);
    expect(proxy.requests).toEqual(['HEAD http://registry.example/v2/lib/app/manifests/1']);
    expect((await client.resolve(parseReference(`${host}/lib/app:1`))).descriptor).toEqual(PUSHED.root);
    expect(proxy.requests).toHaveLength(1);
  });

  it('speaks TLS with a registry whose authority it trusts', async () => {
    const { host, ca } = await rig.start({ isTls: true });
    const reference = parseReference(`${host}/lib/none`);
    expect((await rejection(rig.client({ ca }).resolve(reference))).code).toBe('TSB_REGISTRY_NOT_FOUND');
    expect(await rejection(rig.client().resolve(reference))).toEqual({
      code: 'TSB_REGISTRY_TLS',
      message: `failed to do request: Head "https://${host}/v2/lib/none/manifests/latest": tls: failed to verify certificate: self-signed certificate`,
      hint: `if ${host} is to be trusted, name its certificate authority with NODE_EXTRA_CA_CERTS=<file.pem>`,
    });
    const insecure = rig.client({ insecure: [host] });
    expect((await rejection(insecure.resolve(reference))).code).toBe('TSB_REGISTRY_NOT_FOUND');
  });
});

async function fixture(): Promise<FixtureImage> {
  // Bytes that do not compress, so that the blob comes in several chunks.
  let seed = 1;
  const noise = Buffer.alloc(300_000);
  for (let at = 0; at < noise.length; at++) {
    seed = (seed * 48271) % 2147483647;
    noise[at] = seed & 0xff;
  }
  return makeImage({ layers: [await tarOf([{ name: 'noise', content: noise }])] });
}

function blob(): Descriptor {
  return PUSHED.layers[0]!;
}

function bytesOf({ digest }: Descriptor): Buffer {
  return PUSHED.blobs.get(digest)!;
}

async function expectBlob(client: RegistryClient, reference: ImageReference, descriptor: Descriptor): Promise<void> {
  const bytes = await collect(client.fetchBlob(reference, descriptor));
  expect(digestOf(bytes), formatReference(reference)).toBe(descriptor.digest);
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}
