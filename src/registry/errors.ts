// What a registry, or the way to it, can do wrong, as errors that name the host and the way out.
import { TsbuildError } from '../../solver/errors.ts';
import { codeOf } from '../sys/error-code.ts';
import type { HttpResponse } from './http.ts';

interface FailedRequest {
  readonly method: string;
  readonly url: URL;
}

/** `Head "http://127.0.0.1:5000/v2/x/manifests/latest"`: query and userinfo are left out, since they may be secrets. */
function requestText({ method, url }: FailedRequest): string {
  return `${method.slice(0, 1)}${method.slice(1).toLowerCase()} "${urlText(url)}"`;
}

/** The URL without userinfo, query and fragment. */
export function urlText(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** The TsbuildError for a request that got no answer: TSB_REGISTRY_TLS or TSB_REGISTRY_UNREACHABLE. */
export function unreachableError(request: FailedRequest, cause: unknown): TsbuildError {
  const { url } = request;
  const tlsReason = tlsReasonOf(cause);
  if (tlsReason !== undefined) {
    return new TsbuildError('TSB_REGISTRY_TLS', `failed to do request: ${requestText(request)}: ${tlsReason}`, {
      hint: `if ${url.host} is to be trusted, name its certificate authority with NODE_EXTRA_CA_CERTS=<file.pem>`,
      cause,
    });
  }
  return new TsbuildError(
    'TSB_REGISTRY_UNREACHABLE',
    `failed to do request: ${requestText(request)}: ${networkReason(url, cause)}`,
    { hint: `check that the registry ${url.host} is up and reachable from here, and the spelling of its name`, cause },
  );
}

/** Why a request got no answer, in Go's words: `Get "http://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused`. */
export function failedRequestText(request: FailedRequest, cause: unknown): string {
  return `${requestText(request)}: ${tlsReasonOf(cause) ?? networkReason(request.url, cause)}`;
}

function networkReason(url: URL, cause: unknown): string {
  const error = firstOf(cause);
  const address = 'address' in error ? String(error.address) : url.hostname;
  const port = 'port' in error ? Number(error.port) : Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const dial = `dial tcp ${address.includes(':') && !address.startsWith('[') ? `[${address}]` : address}:${port}`;
  switch (codeOf(error)) {
    case 'ECONNREFUSED':
      return `${dial}: connect: connection refused`;
    case 'EHOSTUNREACH':
      return `${dial}: connect: no route to host`;
    case 'ENETUNREACH':
      return `${dial}: connect: network is unreachable`;
    case 'ENOTFOUND':
      return `dial tcp: lookup ${url.hostname}: no such host`;
    case 'EAI_AGAIN':
      return `dial tcp: lookup ${url.hostname}: temporary failure in name resolution`;
    case 'ETIMEDOUT':
      return `${dial}: i/o timeout`;
    case 'ECONNRESET':
      return `read tcp ${dial.slice('dial tcp '.length)}: connection reset by peer`;
    default:
      return `${dial}: ${error.message}`;
  }
}

/** Connecting tries several addresses; the first failure speaks for all. */
function firstOf(cause: unknown): Error {
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0];
  return cause instanceof Error ? cause : new Error(String(cause));
}

const CERTIFICATE_CODE =
  /^(DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|CERT_|ERR_TLS_CERT_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED)/;

function tlsReasonOf(cause: unknown): string | undefined {
  const error = firstOf(cause);
  const code = codeOf(error) ?? '';
  // Node adds advice about its own options.
  if (CERTIFICATE_CODE.test(code)) return `tls: failed to verify certificate: ${error.message.replace(/;.*/s, '')}`;
  // OpenSSL's way to say that the answer was plain text.
  if (/wrong version number|packet length too long/i.test(error.message)) {
    return 'http: server gave HTTP response to HTTPS client';
  }
  return /^(EPROTO|ERR_SSL_)/.test(code) ? `tls: ${error.message.replace(/^[0-9A-F]+:/, '').trim()}` : undefined;
}

/** The name or digest is not in the registry. */
export function notFoundError(name: string): TsbuildError {
  return new TsbuildError('TSB_REGISTRY_NOT_FOUND', `${name}: not found`, {
    hint: 'check the spelling of the name and its tag',
  });
}

interface DeniedAccess {
  readonly name: string;
  readonly domain: string;
  /** The credentials file that was looked at. */
  readonly place: string;
  readonly hasCredentials: boolean;
  readonly reason: string;
  /** What was tried: `pull` or `push`. */
  readonly action?: string;
  /** What was wrong with a credential helper. */
  readonly problem?: string;
}

/** 401 and 403: registries do not tell a missing repository from a forbidden one. */
export function unauthorizedError(denied: DeniedAccess): TsbuildError {
  const { name, domain, place, hasCredentials, reason, action = 'pull', problem } = denied;
  const looked = hasCredentials
    ? `the credentials in "${place}" were refused`
    : `no credentials for ${domain} in "${place}"`;
  const helper = problem === undefined ? '' : `; credential helper failed: ${problem}`;
  return new TsbuildError(
    'TSB_REGISTRY_UNAUTHORIZED',
    `${name}: ${action} access denied, repository does not exist or may require authorization: ${reason} (${looked}${helper})`,
    { hint: `check the spelling of the name, or log in: docker login${domain === 'docker.io' ? '' : ` ${domain}`}` },
  );
}

/** Any other status that is no success. */
export function statusError(request: FailedRequest, response: HttpResponse): TsbuildError {
  const { status, statusText } = response;
  const message =
    `unexpected status from ${request.method} request to ${urlText(response.url)}: ${status} ${statusText}`.trimEnd();
  if (status === 429) {
    return new TsbuildError('TSB_REGISTRY_RATE_LIMITED', message, {
      hint: `${request.url.host} limits how often it can be asked: wait, or log in for a higher limit`,
    });
  }
  if (status >= 500) {
    return new TsbuildError('TSB_REGISTRY_UNAVAILABLE', message, {
      hint: `the registry ${request.url.host} is in trouble: try again later`,
    });
  }
  return new TsbuildError('TSB_REGISTRY_STATUS', message, { hint: `check that ${request.url.host} is a registry` });
}

/** The registry sent something that no registry sends. */
export function protocolError(name: string, fact: string): TsbuildError {
  return new TsbuildError('TSB_REGISTRY_BAD_ANSWER', `${name}: ${fact}`, {
    hint: 'the registry, or a proxy on the way to it, is broken: try again, or pull from another one',
  });
}

/** True when the registry gave no usable answer, so that an earlier copy may stand in. */
export function isUnavailable(error: unknown): error is TsbuildError {
  return error instanceof TsbuildError && UNAVAILABLE_CODES.has(error.code);
}

const UNAVAILABLE_CODES: ReadonlySet<string> = new Set([
  'TSB_REGISTRY_UNREACHABLE',
  'TSB_REGISTRY_TLS',
  'TSB_REGISTRY_RATE_LIMITED',
  'TSB_REGISTRY_UNAVAILABLE',
]);
