// Answers a registry's challenges: basic authentication, and bearer tokens from a token server.
// https://distribution.github.io/distribution/spec/auth/token/ and …/spec/auth/oauth/
import { TsbuildError } from '../../solver/errors.ts';
import { type AuthChallenge, parseChallenges } from './auth-challenge.ts';
import type { Credentials, CredentialSource, FoundCredentials } from './credentials.ts';
import { statusError, unreachableError, urlText } from './errors.ts';
import { discard, type HttpClient, type HttpRequest, type HttpResponse, readBody } from './http.ts';
import { type RetryPolicy, sendWithRetries } from './retry.ts';

interface AuthorizerOptions {
  readonly http: HttpClient;
  readonly credentials: CredentialSource;
  readonly retry: RetryPolicy;
}

/** What a request is for: a registry and the scope of what is done there, such as `repository:library/debian:pull`. */
interface AuthSubject {
  readonly domain: string;
  readonly scope: string;
}

interface RefusedRequest {
  /** With status 401. */
  readonly response: HttpResponse;
  /** The Authorization header it was sent with. */
  readonly authorization: string | undefined;
}

interface Token {
  readonly header: string;
  readonly expiresAtMs: number;
}

/** Tokens are asked anew when they have less than this to live. */
const MARGIN_MS = 5_000;
const DEFAULT_LIFETIME_S = 60;
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Keeps what each registry has accepted: one token for each scope, asked once however many requests wait for it. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #found = new Map<string, Promise<FoundCredentials>>();
  readonly #tokens = new Map<string, Token>();
  readonly #pending = new Map<string, Promise<Token>>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** The Authorization header known to work, if any. */
  headerFor(subject: AuthSubject): string | undefined {
    const token = this.#tokens.get(keyOf(subject)) ?? this.#tokens.get(subject.domain);
    return token !== undefined && token.expiresAtMs - MARGIN_MS > Date.now() ? token.header : undefined;
  }

  /** Prepares the answer to a 401; false when there is nothing (else) to say. Throws TSB_REGISTRY_TOKEN. */
  async answer(subject: AuthSubject, refused: RefusedRequest, signal?: AbortSignal): Promise<boolean> {
    const { headers, url } = refused.response;
    const challenges = parseChallenges(headers['www-authenticate'] ?? '');
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    const { credentials } = await this.#find(subject.domain);
    const known = this.headerFor(subject);
    // Another request has been answered meanwhile.
    if (known !== undefined && known !== refused.authorization) return true;
    if (bearer !== undefined) {
      await this.#answerBearer({ subject, challenge: bearer, from: url, credentials }, signal);
      return true;
    }
    return challenges.some(({ scheme }) => scheme === 'basic') && this.#answerBasic(subject, credentials);
  }

  /** For messages: the credentials' place, whether it had some, and what went wrong with a helper. */
  async explain(
    domain: string,
  ): Promise<{ readonly place: string; readonly hasCredentials: boolean; readonly problem?: string }> {
    const { credentials, problem } = await this.#find(domain);
    return {
      place: this.#options.credentials.place,
      hasCredentials: credentials !== undefined,
      ...(problem !== undefined && { problem }),
    };
  }

  #find(domain: string): Promise<FoundCredentials> {
    const known = this.#found.get(domain) ?? this.#options.credentials.lookup(domain);
    this.#found.set(domain, known);
    return known;
  }

  #answerBasic({ domain }: AuthSubject, credentials: Credentials | undefined): boolean {
    if (credentials?.kind !== 'password') return false;
    this.#tokens.set(domain, { header: basicHeader(credentials), expiresAtMs: Number.POSITIVE_INFINITY });
    return true;
  }

  async #answerBearer(asked: TokenRequest, signal?: AbortSignal): Promise<void> {
    const { subject, credentials } = asked;
    const key = keyOf(subject);
    if (credentials?.kind === 'registryToken') {
      this.#tokens.set(key, { header: `Bearer ${credentials.token}`, expiresAtMs: Number.POSITIVE_INFINITY });
      return;
    }
    const pending = this.#pending.get(key) ?? this.#fetchToken(asked, signal).finally(() => this.#pending.delete(key));
    this.#pending.set(key, pending);
    this.#tokens.set(key, await pending);
  }

  async #fetchToken(asked: TokenRequest, signal?: AbortSignal): Promise<Token> {
    const request = tokenRequest(asked);
    const isOfOrigin = request.url.origin === asked.from.origin;
    const { http, retry } = this.#options;
    const send = () => http.send({ ...request, ...(signal && { signal }) });
    const fail = (error: unknown): never => {
      signal?.throwIfAborted();
      throw unreachableError(request, error);
    };
    const response = await sendWithRetries(send, retry, signal).catch(fail);
    if (response.status !== 200) {
      discard(response);
      throw await this.#refused(asked, request, response, isOfOrigin);
    }
    return tokenOf(request.url, await readBody(response, MAX_ANSWER_BYTES).catch(fail));
  }

  async #refused(
    { subject, credentials }: TokenRequest,
    request: HttpRequest,
    response: HttpResponse,
    isOfOrigin: boolean,
  ): Promise<TsbuildError> {
    if (response.status !== 401 && response.status !== 403 && response.status !== 400)
      return statusError(request, response);
    const { problem } = await this.#find(subject.domain);
    const { place } = this.#options.credentials;
    const looked = credentials === undefined ? `no credentials for ${subject.domain} in` : 'with the credentials of';
    const server = isOfOrigin ? '' : ` of ${subject.domain}`;
    return new TsbuildError(
      'TSB_REGISTRY_TOKEN',
      `failed to authorize: the token server ${urlText(request.url)}${server} answered ${response.status} ${response.statusText}, ${looked} "${place}"${problem === undefined ? '' : ` (${problem})`}`,
      { hint: `log in anew: docker login${subject.domain === 'docker.io' ? '' : ` ${subject.domain}`}` },
    );
  }
}

interface TokenRequest {
  readonly subject: AuthSubject;
  readonly challenge: AuthChallenge;
  /** Where the challenge came from. */
  readonly from: URL;
  readonly credentials: Credentials | undefined;
}

function tokenRequest({ subject, challenge, from, credentials }: TokenRequest): HttpRequest {
  const { realm = '', service, scope = subject.scope } = challenge.parameters;
  if (!URL.canParse(realm)) throw badRealm(subject.domain, `its realm "${realm}" is no URL`);
  const url = new URL(realm);
  if (from.protocol === 'https:' && url.protocol !== 'https:' && credentials !== undefined) {
    throw badRealm(subject.domain, `it asks to send credentials without encryption to ${urlText(url)}`);
  }
  if (credentials?.kind === 'identityToken') return refreshRequest(url, { service, scope, token: credentials.token });
  if (service !== undefined) url.searchParams.set('service', service);
  for (const one of scope.split(' ')) url.searchParams.append('scope', one);
  const headers = credentials?.kind === 'password' ? { authorization: basicHeader(credentials) } : {};
  return { method: 'GET', url, headers };
}

function refreshRequest(
  url: URL,
  {
    service = '',
    scope,
    token,
  }: { readonly service: string | undefined; readonly scope: string; readonly token: string },
): HttpRequest {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    client_id: 'tsbuild',
    service,
    scope,
    refresh_token: token,
  });
  const body = form.toString();
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(Buffer.byteLength(body)),
  };
  return { method: 'POST', url, headers, body };
}

function tokenOf(url: URL, bytes: Buffer): Token {
  const answer = parseAnswer(bytes);
  const token = answer.token ?? answer.access_token;
  if (typeof token !== 'string' || token === '') {
    throw new TsbuildError(
      'TSB_REGISTRY_TOKEN',
      `failed to authorize: the token server ${urlText(url)} sent no token`,
      {
        hint: 'the token server is broken: try again later',
      },
    );
  }
  const lifetimeS = answer.expires_in;
  const isStated = typeof lifetimeS === 'number' && lifetimeS > 0;
  // Shorter ones than a minute are treated as one, as Docker does: the specification sets that least.
  const expiresInMs = Math.max(isStated ? lifetimeS : 0, DEFAULT_LIFETIME_S) * 1000;
  return { header: `Bearer ${token}`, expiresAtMs: Date.now() + expiresInMs };
}

function parseAnswer(bytes: Buffer): Readonly<Record<string, unknown>> {
  try {
    const answer: unknown = JSON.parse(bytes.toString());
    return typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function badRealm(domain: string, fact: string): TsbuildError {
  return new TsbuildError('TSB_REGISTRY_TOKEN', `failed to authorize at ${domain}: ${fact}`, {
    hint: 'the registry is set up wrongly: tell those who run it',
  });
}

function basicHeader({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function keyOf({ domain, scope }: AuthSubject): string {
  return `${domain} ${scope}`;
}
