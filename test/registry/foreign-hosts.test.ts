import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { parseReference } from '../../frontend/reference.ts';
import { digestOf } from '../../solver/digest.ts';
import { HttpClient } from '../../src/registry/http.ts';
import { Pusher } from '../../src/registry/push.ts';
import { describeNeeding } from '../needs.ts';
import { basicAuth, dockerConfig, makeCertificate, PASSWORD, registryRig, rejection, USER } from './registry-rig.ts';

const SECRET = basicAuth(USER, PASSWORD);
const BLOB = Buffer.from('blob');

describeNeeding(['openssl'], 'what hosts that are not the registry are told', () => {
  const rig = registryRig();

  /** Credentials of that host. */
  const environment = (host: string, entry: object = { auth: SECRET }) =>
    dockerConfig(rig.directory(), { auths: { [host]: entry } });

  /** A server that notes what it is sent. */
  async function listener(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<{ readonly host: string; readonly heard: string[] }> {
    const heard: string[] = [];
    const host = await rig.serve((request, response) => {
      void text(request).then((body) => {
        heard.push(`${request.method} ${request.url} ${request.headers.authorization ?? 'nobody'} ${body}`.trim());
        answer(request, response);
      });
    });
    return { host, heard };
  }

  it.each([
    ['basic', (_host: string) => 'Basic realm="x"'],
    ['bearer', (host: string) => `Bearer realm="http://${host}/token",service="x"`],
  ])('a host that a registry redirects to learns no credentials by a %s challenge', async (_kind, challenge) => {
    const other = await listener((request, response) => {
      response.writeHead(401, { 'www-authenticate': challenge(request.headers.host ?? '') }).end();
    });
    const registry = await rig.serve((_request, response) => {
      response.writeHead(307, { location: `http://${other.host}/blob` }).end();
    });
    const client = rig.client({ environment: environment(registry) });
    const error = await rejection(client.fetchManifest(parseReference(`${registry}/lib/app:1`)));
    expect(error.code).toBe('TSB_REGISTRY_UNAUTHORIZED');
    expect(other.heard).toEqual(['GET /blob nobody']);
  });

  it('a host that a token server redirects to gets no refresh token', async () => {
    const other = await listener((_request, response) => response.end('{"access_token":"t"}'));
    const tokens = await rig.serve((_request, response) => {
      response.writeHead(307, { location: `http://${other.host}/token` }).end();
    });
    const registry = await rig.serve((_request, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${tokens}/token"` }).end();
    });
    const client = rig.client({ environment: environment(registry, { identitytoken: 's3cret' }) });
    expect((await rejection(client.fetchManifest(parseReference(`${registry}/lib/app:1`)))).code).toBe(
      'TSB_REGISTRY_STATUS',
    );
    expect(other.heard).toEqual([]);
  });

  it('a form is sent on within its host', async () => {
    const { host, heard } = await listener((request, response) => {
      if (request.url === '/a') response.writeHead(307, { location: '/b' });
      response.end();
    });
    const http = new HttpClient();
    onTestFinished(() => http.close());
    await http.send({ method: 'POST', url: new URL(`http://${host}/a`), body: 'form' });
    expect(heard).toEqual(['POST /a nobody form', 'POST /b nobody form']);
  });

  it('a host that a store of objects redirects to gets no session token', async () => {
    const seen: string[] = [];
    const other = await rig.serve((request, response) => {
      seen.push(...Object.keys(request.headers).filter((name) => /^(authorization|x-)/.test(name)));
      response.end();
    });
    const store = await rig.serve((_request, response) => {
      response.writeHead(307, { location: `http://${other}/` }).end();
    });
    const http = new HttpClient();
    onTestFinished(() => http.close());
    const headers = { authorization: 'AWS4', 'x-amz-security-token': 's3cret', 'x-amz-date': 'now' };
    const response = await http.send({ method: 'GET', url: new URL(`http://${store}/`), headers });
    response.body.resume();
    expect(seen).toEqual(['x-amz-date']);
  });

  it('an upload that a TLS registry places on plain HTTP stays encrypted there, and unsigned elsewhere', async () => {
    const plain = await listener((_request, response) => response.writeHead(201).end());
    const { cert, key } = makeCertificate(rig.directory());
    const heard: string[] = [];
    let place = '';
    const server = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
      heard.push(`${request.method} ${(request.headers.authorization ?? 'nobody').split(' ')[0]}`);
      request.resume();
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      } else if (request.method === 'HEAD') response.writeHead(404).end();
      else if (request.method === 'POST') response.writeHead(202, { location: place }).end();
      else response.writeHead(201).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    // No loopback address by its spelling: one is spoken to without TLS.
    const host = `127.1:${(server.address() as AddressInfo).port}`;
    const client = rig.client({ environment: environment(host), ca: readFileSync(cert, 'utf8') });
    const push = async (location: string): Promise<string> => {
      place = location;
      const pusher = new Pusher({ client, repository: parseReference(`${host}/lib/app`) });
      const descriptor = { mediaType: 'x', digest: digestOf(BLOB), size: BLOB.length };
      return await pusher.pushBlob({ descriptor, open: async () => [BLOB] as unknown as AsyncIterable<Uint8Array> });
    };
    expect(await push(`http://${host}/upload`)).toBe('uploaded');
    expect(heard).toEqual(['HEAD nobody', 'HEAD Basic', 'POST Basic', 'PUT Basic']);
    expect(await push(`http://${plain.host}/upload`)).toBe('uploaded');
    expect(plain.heard).toEqual([`PUT /upload?digest=${encodeURIComponent(digestOf(BLOB))} nobody blob`]);
  });
});
