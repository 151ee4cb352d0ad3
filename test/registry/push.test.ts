import { expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { parseReference } from '../../frontend/reference.ts';
import { digestOf } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { type BlobSource, type PushedHow, Pusher } from '../../src/registry/push.ts';
import type { RegistryClient } from '../../src/registry/registry-client.ts';
import {
  basicAuth,
  dockerConfig,
  freePort,
  makeCertificate,
  PASSWORD,
  REGISTRY_PROGRAM,
  registryRig,
  rejection,
  USER,
} from './registry-rig.ts';
import { tokenServer } from './token-server.ts';

const retry = { attempts: 3, baseMs: 1, maxMs: 10 };

function blob(text: string, mountFrom: readonly string[] = []): BlobSource & { opened: number } {
  const bytes = Buffer.from(text);
  const source = {
    descriptor: { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length },
    opened: 0,
    mountFrom,
    open: async () => {
      source.opened += 1;
      return (async function* () {
        for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
      })();
    },
  };
  return source;
}

function pusher(client: RegistryClient, name: string): Pusher {
  return new Pusher({ client, repository: parseReference(name), retry });
}

async function push(client: RegistryClient, name: string, sources: readonly BlobSource[]): Promise<PushedHow[]> {
  const how: PushedHow[] = [];
  await pusher(client, name).pushBlobs(sources, (_, one) => how.push(one));
  return how;
}

describeNeeding([REGISTRY_PROGRAM], 'pushing', () => {
  const rig = registryRig();

  it('uploads what is not there, once, and a manifest under a tag or its digest', async () => {
    const { host } = await rig.start();
    const client = rig.client();
    const [small, large] = [blob('small'), blob('x'.repeat(3_000_000))];
    expect(await push(client, `${host}/a`, [small, large, small])).toEqual(['uploaded', 'uploaded']);
    const again = blob('small');
    expect(await push(client, `${host}/a`, [again])).toEqual(['there']);
    expect(again.opened).toBe(0);
    const fetched: Uint8Array[] = [];
    for await (const chunk of client.fetchBlob(parseReference(`${host}/a`), large.descriptor)) fetched.push(chunk);
    expect(digestOf(Buffer.concat(fetched))).toBe(large.descriptor.digest);

    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType, config: small.descriptor, layers: [large.descriptor] }),
    );
    await pusher(client, `${host}/a`).pushManifest(manifest, mediaType, 'one');
    await pusher(client, `${host}/a`).pushManifest(manifest, mediaType);
    for (const name of [`${host}/a:one`, `${host}/a@${digestOf(manifest)}`]) {
      expect((await client.fetchManifest(parseReference(name))).bytes).toEqual(manifest);
    }
  });

  it('takes blobs from another repository instead of sending them', async () => {
    const { host } = await rig.start();
    const client = rig.client();
    await push(client, `${host}/from`, [blob('shared')]);
    const shared = blob('shared', ['nowhere', 'from']);
    expect(await push(client, `${host}/to`, [shared])).toEqual(['mounted']);
    expect(shared.opened).toBe(0);
    expect(await push(client, `${host}/to`, [blob('other', ['from'])])).toEqual(['uploaded']);
  });

  it('begins an upload anew when its connection breaks', async () => {
    const { host } = await rig.start();
    let puts = 0;
    const proxy = await rig.proxy(host, (request) => {
      if (request.method !== 'PUT' || puts++ > 0) return false;
      request.once('data', () => request.socket.destroy());
      return true;
    });
    const source = blob('x'.repeat(2_000_000));
    // The registry tells places on its own host.
    expect(await push(rig.client(), `${proxy.host}/a`, [source])).toEqual(['uploaded']);
  });

  it('asks for a token to push, and says when it may not', async () => {
    const { cert, key } = makeCertificate(rig.directory());
    const authorization = `Basic ${basicAuth(USER, PASSWORD)}`;
    const tokens = tokenServer({ cert, key, authorization });
    const realm = `http://${await rig.serve(tokens.answer)}/token`;
    const { host } = await rig.start({ auth: { realm, rootCertificate: cert } });
    const environment = dockerConfig(rig.directory(), { auths: { [host]: { auth: basicAuth(USER, PASSWORD) } } });
    expect(await push(rig.client({ environment }), `${host}/me/app`, [blob('mine')])).toEqual(['uploaded']);
    expect(tokens.requests.join('\n')).toMatch(/^GET repository:me\/app:(pull,push|push,pull) with password$/m);

    const none = dockerConfig(rig.directory(), { auths: {} });
    expect(await rejection(push(rig.client({ environment: none }), `${host}/me/app`, [blob('theirs')]))).toEqual({
      code: 'TSB_REGISTRY_UNAUTHORIZED',
      message: `${host}/me/app: push access denied, repository does not exist or may require authorization: 401 Unauthorized (no credentials for ${host} in "${none.DOCKER_CONFIG}/config.json")`,
      hint: `check the spelling of the name, or log in: docker login ${host}`,
    });
  });

  it('fails with the reason when bytes cannot be read, are wrong, or nobody answers', async () => {
    const { host } = await rig.start();
    const gone = new TsbuildError('TSB_CONTENT_NOT_FOUND', 'gone');
    const broken: BlobSource = { ...blob('broken'), open: () => Promise.reject(gone) };
    expect(await rejection(push(rig.client(), `${host}/a`, [broken]))).toMatchObject({ message: 'gone' });
    const half: BlobSource = {
      ...blob('half'),
      open: async () =>
        (async function* (): AsyncGenerator<Uint8Array> {
          yield Buffer.from('ha');
          throw gone;
        })(),
    };
    expect(await rejection(push(rig.client(), `${host}/a`, [half]))).toMatchObject({
      message: expect.stringContaining('gone'),
    });
    const wrong: BlobSource = { ...blob('right'), open: blob('wrong').open };
    expect(await rejection(push(rig.client(), `${host}/a`, [wrong]))).toMatchObject({ code: 'TSB_REGISTRY_STATUS' });
    const nobody = await rejection(push(rig.client(), `127.0.0.1:${await freePort()}/a`, [blob('x')]));
    expect(nobody.code).toBe('TSB_REGISTRY_UNREACHABLE');
  });
});
