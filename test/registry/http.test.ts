// How long a request waits for its answer.
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { discard, HttpClient } from '../../src/registry/http.ts';

const ANSWER_TIMEOUT_MS = 123_456;
const client = new HttpClient({ answerTimeoutMs: ANSWER_TIMEOUT_MS });
let server: Server | undefined;
beforeEach(() => {
  vi.spyOn(globalThis, 'setTimeout');
});
afterEach(() => {
  vi.restoreAllMocks();
  client.close();
  server?.closeAllConnections();
  server?.close();
});

async function serve(answer: RequestListener): Promise<URL> {
  server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}

/** Sends the chunks; `left` resolves when no more of them will be asked for. */
function put(url: URL, chunks: () => AsyncGenerator<Uint8Array>) {
  const left = Promise.withResolvers<void>();
  async function* body(): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks();
    } finally {
      left.resolve();
    }
  }
  const sent = client.send({ method: 'PUT', url, headers: { 'content-length': '1000000000' }, body });
  return { sent, left: left.promise };
}

function waits(): number {
  return vi.mocked(setTimeout).mock.calls.filter(([, ms]) => ms === ANSWER_TIMEOUT_MS).length;
}

it('an answer that comes before the body is sent is not waited for again', async () => {
  const url = await serve((_request, response) => response.writeHead(401).end());
  const rest = Promise.withResolvers<void>();
  const { sent, left } = put(url, async function* () {
    yield Buffer.from('a');
    await rest.promise;
  });
  const response = await sent;
  discard(response);
  rest.resolve();
  await left;
  await new Promise(setImmediate);
  expect(response.status).toBe(401);
  expect(waits()).toBe(0);
});

it('an answer is not waited for where the connection broke while the body was sent', async () => {
  const url = await serve((request) => request.once('data', () => request.socket.destroy()));
  const { sent, left } = put(url, async function* () {
    for (;;) yield Buffer.alloc(65_536);
  });
  await expect(sent).rejects.toThrow(/ECONNRESET|EPIPE|hang up/);
  await left;
  await new Promise(setImmediate);
  expect(waits()).toBe(0);
});
