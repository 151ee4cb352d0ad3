import { expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { parseReference } from '../../frontend/reference.ts';
import { type FixtureImage, makeImage, pushImage, tarOf } from './image-fixture.ts';
import {
  basicAuth,
  dockerConfig,
  makeCertificate,
  PASSWORD,
  REGISTRY_PROGRAM,
  registryRig,
  rejection,
  USER,
} from './registry-rig.ts';
import { type TokenServer, tokenServer } from './token-server.ts';

const PASSWORD_HEADER = `Basic ${basicAuth(USER, PASSWORD)}`;

describeNeeding([REGISTRY_PROGRAM], 'bearer tokens', () => {
  const rig = registryRig();

  /** A registry that trusts a token server, with one public and one private image. */
  async function start(): Promise<{ host: string; realm: string; tokens: TokenServer; image: FixtureImage }> {
    const { cert, key } = makeCertificate(rig.directory());
    const tokens = tokenServer({ cert, key, authorization: PASSWORD_HEADER, refreshToken: 'refresh-s3cret' });
    const realm = `http://${await rig.serve(tokens.answer)}/token`;
    const { host } = await rig.start({ auth: { realm, rootCertificate: cert } });
    const image = makeImage({ layers: [await tarOf([{ name: 'f', content: 'x' }])] });
    for (const repository of ['open/app', 'closed/app']) {
      const query = `scope=repository:${repository}:pull,push`;
      const answer = await fetch(`${realm}?${query}`, { headers: { authorization: PASSWORD_HEADER } });
      const { token } = (await answer.json()) as { token: string };
      await pushImage(host, repository, '1', image, `Bearer ${token}`);
    }
    (tokens.requests as string[]).length = 0;
    return { host, realm, tokens, image };
  }

  it('asks for one token for each repository, without credentials when there are none', async () => {
    const { host, tokens, image } = await start();
    const client = rig.client();
    const reference = parseReference(`${host}/open/app:1`);
    expect((await client.resolve(reference)).descriptor).toEqual(image.root);
    const manifests = await Promise.all([1, 2, 3].map(() => client.fetchManifest(reference)));
    expect(manifests.map(({ descriptor }) => descriptor)).toEqual([image.root, image.root, image.root]);
    expect(tokens.requests).toEqual(['GET repository:open/app:pull']);
  });

  it('asks once for a token that several requests wait for', async () => {
    const { host, tokens } = await start();
    const client = rig.client();
    const reference = parseReference(`${host}/open/app:1`);
    await Promise.all([1, 2, 3].map(() => client.fetchManifest(reference)));
    expect(tokens.requests).toEqual(['GET repository:open/app:pull']);
  });

  it('shows the password to the token server only', async () => {
    const { host, tokens, image } = await start();
    const proxy = await rig.proxy(host, (request) => {
      seen.push(request.headers.authorization?.split(' ')[0] ?? 'none');
      return false;
    });
    const seen: string[] = [];
    const environment = dockerConfig(rig.directory(), {
      auths: { [proxy.host]: { auth: basicAuth(USER, PASSWORD) } },
    });
    const resolved = await rig.client({ environment }).resolve(parseReference(`${proxy.host}/closed/app:1`));
    expect(resolved.descriptor).toEqual(image.root);
    expect(seen).toEqual(['none', 'Bearer']);
    expect(tokens.requests).toEqual(['GET repository:closed/app:pull with password']);
  });

  it('trades an identity token', async () => {
    const { host, tokens, image } = await start();
    const environment = dockerConfig(rig.directory(), {
      auths: { [host]: { auth: basicAuth('u', ''), identitytoken: 'refresh-s3cret' } },
    });
    const client = rig.client({ environment });
    expect((await client.resolve(parseReference(`${host}/closed/app:1`))).descriptor).toEqual(image.root);
    expect(tokens.requests).toEqual(['POST repository:closed/app:pull']);
  });

  it('says which credentials did not do', async () => {
    const { host, realm } = await start();
    const reference = parseReference(`${host}/closed/app:1`);
    const none = dockerConfig(rig.directory(), {});
    expect(await rejection(rig.client({ environment: none }).resolve(reference))).toEqual({
      code: 'TSB_REGISTRY_UNAUTHORIZED',
      message: `${host}/closed/app:1: pull access denied, repository does not exist or may require authorization: 401 Unauthorized (no credentials for ${host} in "${none.DOCKER_CONFIG}/config.json")`,
      hint: `check the spelling of the name, or log in: docker login ${host}`,
    });
    const wrong = dockerConfig(rig.directory(), { auths: { [host]: { auth: basicAuth(USER, 's3cret') } } });
    expect(await rejection(rig.client({ environment: wrong }).resolve(reference))).toEqual({
      code: 'TSB_REGISTRY_TOKEN',
      message: `failed to authorize: the token server ${realm} of ${host} answered 401 Unauthorized, with the credentials of "${wrong.DOCKER_CONFIG}/config.json"`,
      hint: `log in anew: docker login ${host}`,
    });
  });

  it('says that a token server breaks off its answer', async () => {
    let realm = '';
    const host = await rig.serve((request, response) => {
      if (request.url?.startsWith('/token')) {
        response.writeHead(200, { 'content-length': '100' }).write('{');
        response.socket?.end();
        return;
      }
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
    });
    realm = `http://${host}/token`;
    expect(await rejection(rig.client().resolve(parseReference(`${host}/any/app:1`)))).toEqual({
      code: 'TSB_REGISTRY_UNREACHABLE',
      message: `failed to do request: Get "${realm}": read tcp ${host}: connection reset by peer`,
      hint: `check that the registry ${host} is up and reachable from here, and the spelling of its name`,
    });
  });

  it('refuses to send credentials without encryption for a registry that has it', async () => {
    const { cert, key } = makeCertificate(rig.directory());
    const tokens = tokenServer({ cert, key, authorization: PASSWORD_HEADER });
    const realm = `http://${await rig.serve(tokens.answer)}/token`;
    const { host, ca } = await rig.start({ auth: { realm, rootCertificate: cert }, isTls: true });
    const environment = dockerConfig(rig.directory(), { auths: { [host]: { auth: basicAuth(USER, PASSWORD) } } });
    const error = await rejection(rig.client({ environment, ca }).resolve(parseReference(`${host}/closed/app:1`)));
    expect(error).toEqual({
      code: 'TSB_REGISTRY_TOKEN',
      message: `failed to authorize at ${host}: it asks to send credentials without encryption to ${realm}`,
      hint: 'the registry is set up wrongly: tell those who run it',
    });
    expect(tokens.requests).toEqual([]);
  });
});
