// A token server as registries know it: signs what a docker-registry with the same certificate believes.
import { X509Certificate, createSign, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';

interface TokenServerOptions {
  readonly cert: string;
  readonly key: string;
  /** Authorization header of who gets a token for everything; others get one for `open/…` only. */
  readonly authorization?: string;
  readonly refreshToken?: string;
}

export interface TokenServer {
  readonly answer: (request: IncomingMessage, response: ServerResponse) => void;
  /** Method, scope and whether there was an Authorization header. */
  readonly requests: readonly string[];
}

export function tokenServer(options: TokenServerOptions): TokenServer {
  const requests: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const query = new URL(request.url ?? '/', 'http://x').searchParams;
    const form = new URLSearchParams(request.method === 'POST' ? await text(request) : '');
    const scope = query.get('scope') ?? form.get('scope') ?? '';
    const { authorization } = request.headers;
    requests.push(`${request.method} ${scope}${authorization === undefined ? '' : ' with password'}`);
    const isKnown =
      (authorization !== undefined && authorization === options.authorization) ||
      (form.get('grant_type') === 'refresh_token' && form.get('refresh_token') === options.refreshToken);
    if ((authorization !== undefined || form.has('refresh_token')) && !isKnown) {
      response.writeHead(401).end('{"details":"incorrect username or password"}');
      return;
    }
    const [type = '', name = '', actions = ''] = scope.split(':');
    const isGranted = isKnown || name.startsWith('open/');
    const access = isGranted ? [{ type, name, actions: actions.split(',') }] : [];
    const token = sign(options, access);
    response.end(JSON.stringify(request.method === 'POST' ? { access_token: token } : { token, expires_in: 300 }));
  };
  return { answer, requests };
}

function sign({ cert, key }: TokenServerOptions, access: readonly unknown[]): string {
  const certificate = new X509Certificate(readFileSync(cert));
  const header = { typ: 'JWT', alg: 'ES256', x5c: [certificate.raw.toString('base64')] };
  const now = Math.floor(Date.now() / 1000);
  const times = { nbf: now - 60, iat: now, exp: now + 300 };
  const claims = { iss: 'test-issuer', sub: 'ann', aud: 'test-registry', ...times, jti: randomUUID(), access };
  const content = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = createSign('sha256')
    .update(content)
    .sign({ key: readFileSync(key), dsaEncoding: 'ieee-p1363' });
  return `${content}.${signature.toString('base64url')}`;
}
