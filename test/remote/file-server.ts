// An http server with files of the test's making, which writes down what it was asked.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

interface ServedFile {
  readonly body: string | Buffer;
  readonly etag?: string;
  readonly lastModified?: string;
  /** True for a server that knows validators but never answers 304. */
  readonly ignoresConditions?: boolean;
}

/** Call `listen` first and `close` at the end. */
export class FileServer {
  /** By path; set and changed by the test. */
  readonly files = new Map<string, ServedFile | Answer>();
  /** Method, path and what the request says of conditions and credentials. */
  readonly requests: string[] = [];
  readonly #server: Server = createServer((request, response) => this.#answer(request, response));

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  url(path: string): string {
    return `http://${this.host}${path}`;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method, url = '', headers } = request;
    const said = ['if-none-match', 'if-modified-since', 'authorization'].flatMap((name) =>
      headers[name] === undefined ? [] : [`${name}: ${headers[name]}`],
    );
    this.requests.push([`${method} ${url}`, ...said].join(', '));
    const file = this.files.get(url);
    if (file === undefined) response.writeHead(404).end('no such file');
    else if (typeof file === 'function') file(request, response);
    else serve(file, request, response);
  }
}

function serve(file: ServedFile, { headers }: IncomingMessage, response: ServerResponse): void {
  const { body, etag, lastModified, ignoresConditions } = file;
  if (etag !== undefined) response.setHeader('etag', etag);
  if (lastModified !== undefined) response.setHeader('last-modified', lastModified);
  const isKnown =
    headers['if-none-match'] === undefined
      ? lastModified !== undefined && headers['if-modified-since'] === lastModified
      : headers['if-none-match'] === etag;
  if (isKnown && ignoresConditions !== true) response.writeHead(304).end();
  else response.writeHead(200).end(body);
}
