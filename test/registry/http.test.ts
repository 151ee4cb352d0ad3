// What a request leaves behind.
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { discard, HttpClient } from '../../src/registry/http.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(answer: RequestListener): Promise<URL> {
  server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}

const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

it('an answer that comes before the body is sent is not waited for again', async () => {
  const url = await serve((_request, response) => response.writeHead(401).end());
  const before = timers();
  const body = Promise.withResolvers<void>();
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('a');
    await body.promise;
    yield Buffer.from('b');
  }
  const client = new HttpClient();
  const response = await client.send({ method: 'PUT', url, headers: { 'content-length': '2' }, body: chunks });
  discard(response);
  body.resolve();
  await once(response.body, 'close');
  expect(response.status).toBe(401);
  expect(timers()).toBe(before);
  client.close();
});

it('an answer is not waited for where the connection broke while the body was sent', async () => {
  const url = await serve((request) => request.once('data', () => request.socket.destroy()));
  const before = timers();
  const left = Promise.withResolvers<void>();
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield Buffer.alloc(65_536);
    } finally {
      left.resolve();
    }
  }
  const client = new HttpClient();
  const sent = client.send({ method: 'PUT', url, headers: { 'content-length': '1000000000' }, body: chunks });
  await expect(sent).rejects.toThrow(/ECONNRESET|EPIPE|hang up/);
  await left.promise;
  await new Promise(setImmediate);
  expect(timers()).toBe(before);
  client.close();
});
