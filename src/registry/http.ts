// HTTP requests with kept connections, time limits and redirects. No fetch: loading it costs more than a cached build has.
import {
  Agent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as plainRequest,
} from 'node:http';
import type { Agent as TlsAgent } from 'node:https';
import type { Environment } from '../sys/environment.ts';

/** Those that the registries and buckets are spoken to with. */
export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT';

/** One request; aborting the signal ends it with the signal's reason. */
export interface HttpRequest {
  readonly method: HttpMethod;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** A function is called for each try; its bytes are as many as the content-length header says. */
  readonly body?: string | Uint8Array | (() => AsyncIterable<Uint8Array>);
  /** False takes any certificate. Default true. */
  readonly isVerified?: boolean;
  readonly signal?: AbortSignal;
}

/** Whoever gets it reads `body` to its end or destroys it. */
export interface HttpResponse {
  readonly status: number;
  readonly statusText: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
}

/** One client keeps its connections: whoever makes it closes it. */
export interface HttpClientOptions {
  /** Certificates in PEM that are trusted besides those of Node and of the system. */
  readonly ca?: string;
  /** Variables such as HTTPS_PROXY and NO_PROXY. */
  readonly environment?: Environment;
  /** How long an answer may take to begin. Default 20 s. */
  readonly answerTimeoutMs?: number;
  /** How long a body may stand still. Default 60 s. */
  readonly idleTimeoutMs?: number;
}

const MAX_REDIRECTS = 5;

/** The peer did not answer in time. */
class HttpTimeoutError extends Error {
  readonly code = 'ETIMEDOUT';

  constructor(timeoutMs: number) {
    super(`no answer for ${timeoutMs / 1000} s`);
    this.name = 'HttpTimeoutError';
  }
}

/** Idle connections are kept and do not keep the process alive; `close` ends them. */
export class HttpClient {
  readonly #options: HttpClientOptions;
  #plain: Agent | undefined;
  #verified: Promise<TlsAgent> | undefined;
  #unverified: Promise<TlsAgent> | undefined;

  constructor(options: HttpClientOptions = {}) {
    this.#options = options;
  }

  /** One request and its redirects; Authorization goes to no host but the first. Rejects with Node's own network errors. */
  async send(request: HttpRequest): Promise<HttpResponse> {
    let current = request;
    for (let hops = 0; ; hops++) {
      const response = await this.#exchange(current);
      const target = redirectTarget(response, current.url);
      if (target === undefined || hops === MAX_REDIRECTS) return response;
      discard(response);
      current = redirected(current, target);
    }
  }

  close(): void {
    this.#plain?.destroy();
    for (const agent of [this.#verified, this.#unverified]) agent?.then((one) => one.destroy());
    this.#plain = undefined;
    this.#verified = undefined;
    this.#unverified = undefined;
  }

  async #exchange(request: HttpRequest): Promise<HttpResponse> {
    request.signal?.throwIfAborted();
    const isTls = request.url.protocol === 'https:';
    const agent = isTls ? await this.#tlsAgent(request.isVerified ?? true) : this.#plainAgent();
    const start: typeof plainRequest = isTls ? (await import('node:https')).request : plainRequest;
    return new Promise((resolve, reject) => {
      const { method, url, headers = {}, body, signal } = request;
      const outgoing = start(url, {
        method,
        agent,
        headers: { 'user-agent': 'tsbuild', ...headers },
        ...(signal && { signal }),
      });
      const answerTimeoutMs = this.#options.answerTimeoutMs ?? 20_000;
      let timer: NodeJS.Timeout | undefined;
      let isOver = false;
      const endWait = (): void => {
        isOver = true;
        clearTimeout(timer);
      };
      // A peer may answer, or be gone, before it has all of a body.
      const expectAnswer = (): void => {
        if (isOver) return;
        timer = setTimeout(() => outgoing.destroy(new HttpTimeoutError(answerTimeoutMs)), answerTimeoutMs);
      };
      outgoing.once('error', (error) => {
        endWait();
        reject(error);
      });
      outgoing.once('response', (incoming) => {
        endWait();
        this.#limitIdleness(incoming);
        resolve(responseOf(incoming, url));
      });
      // A long body takes its time; then the answer is due.
      if (typeof body === 'function') sendBody(body(), outgoing).then(expectAnswer, reject);
      else {
        expectAnswer();
        outgoing.end(body);
      }
    });
  }

  #limitIdleness(body: IncomingMessage): void {
    const idleTimeoutMs = this.#options.idleTimeoutMs ?? 60_000;
    body.setTimeout(idleTimeoutMs, () => body.destroy(new HttpTimeoutError(idleTimeoutMs)));
    // A body that breaks while nobody reads it must not end the process; its reader sees the error all the same.
    body.on('error', () => {});
  }

  #plainAgent(): Agent {
    this.#plain ??= new Agent({ keepAlive: true, proxyEnv: proxyEnvironment(this.#options) });
    return this.#plain;
  }

  #tlsAgent(isVerified: boolean): Promise<TlsAgent> {
    if (isVerified) {
      this.#verified ??= createTlsAgent(this.#options, true);
      return this.#verified;
    }
    this.#unverified ??= createTlsAgent(this.#options, false);
    return this.#unverified;
  }
}

/** Frees the connection of a response whose body nobody wants. */
export function discard(response: HttpResponse): void {
  response.body.resume();
}

/** The whole body; a longer one than `maxBytes` rejects. */
export async function readBody(response: HttpResponse, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`the answer is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

async function createTlsAgent(options: HttpClientOptions, isVerified: boolean): Promise<TlsAgent> {
  const [{ Agent: AgentWithTls }, tls] = await Promise.all([import('node:https'), import('node:tls')]);
  // Node's own list lacks what an administrator has added to the machine's.
  const ca = [...tls.getCACertificates('default'), ...tls.getCACertificates('system')];
  if (options.ca !== undefined) ca.push(options.ca);
  return new AgentWithTls({
    keepAlive: true,
    proxyEnv: proxyEnvironment(options),
    ca: [...new Set(ca)],
    rejectUnauthorized: isVerified,
  });
}

/** Proxies as the variables say; this machine itself is never reached through one. */
function proxyEnvironment({ environment = {} }: HttpClientOptions): Record<string, string | undefined> {
  const excluded = environment.no_proxy ?? environment.NO_PROXY ?? '';
  const own = 'localhost,127.0.0.1-127.255.255.255,::1,[::1]';
  return { ...environment, no_proxy: excluded === '' ? own : `${excluded},${own}` };
}

/** Ends early without a failure when the peer has answered before it had all. */
async function sendBody(body: AsyncIterable<Uint8Array>, outgoing: ClientRequest): Promise<void> {
  try {
    for await (const chunk of body) {
      if (outgoing.destroyed) return;
      if (!outgoing.write(chunk)) await drained(outgoing);
    }
    outgoing.end();
  } catch (error) {
    // What the source says is the reason, not that the request was cut off.
    outgoing.destroy();
    throw error;
  }
}

function drained(outgoing: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      outgoing.off('drain', end);
      outgoing.off('close', end);
      resolve();
    };
    outgoing.once('drain', end);
    outgoing.once('close', end);
  });
}

function responseOf(incoming: IncomingMessage, url: URL): HttpResponse {
  return {
    status: incoming.statusCode ?? 0,
    statusText: incoming.statusMessage ?? '',
    headers: incoming.headers,
    body: incoming,
    url,
  };
}

function redirectTarget(response: HttpResponse, from: URL): URL | undefined {
  const { location } = response.headers;
  if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined) return undefined;
  const target = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  return target !== undefined && ['http:', 'https:'].includes(target.protocol) ? target : undefined;
}

function redirected(request: HttpRequest, url: URL): HttpRequest {
  if (url.origin === request.url.origin) return { ...request, url };
  const headers = Object.entries(request.headers ?? {}).filter(([name]) => name.toLowerCase() !== 'authorization');
  return { ...request, url, headers: Object.fromEntries(headers) };
}
