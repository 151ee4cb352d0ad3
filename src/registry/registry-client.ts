// A client of the distribution API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
//
// Words. A *domain* is how a name spells its registry (`docker.io`), a *host* where that is (`registry-1.docker.io`).
// Every request passes `#send`: it adds what authorizes it, tries again what failed for a passing reason, answers a
// challenge once, and turns the lack of an answer into an error. What a status means is its caller's to say.
import { formatReference, type ImageReference, withDefaultTag } from '../../frontend/reference.ts';
import { type Digest, digestOf, isDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, MEDIA_TYPES } from '../image/descriptor.ts';
import { codeOf } from '../sys/error-code.ts';
import { Authorizer } from './auth.ts';
import { readRange } from './blob-range.ts';
import { type CredentialSource, DockerCredentials } from './credentials.ts';
import { notFoundError, protocolError, statusError, unauthorizedError, unreachableError } from './errors.ts';
import {
  discard,
  HttpClient,
  type HttpClientOptions,
  type HttpMethod,
  type HttpRequest,
  type HttpResponse,
  readBody,
} from './http.ts';
import { DEFAULT_RETRY_POLICY, isPassing, pause, type RetryPolicy, sendWithRetries } from './retry.ts';

/** Credentials are those that Docker has in the environment, unless others are given. */
export interface RegistryClientOptions extends HttpClientOptions {
  readonly credentials?: CredentialSource;
  /** Hosts (with port) that are spoken to without TLS, or with any certificate; loopback ones are spoken to without anyway. */
  readonly insecure?: readonly string[];
  readonly retry?: RetryPolicy;
}

interface RequestOptions {
  readonly signal?: AbortSignal;
}

interface FetchedManifest {
  readonly descriptor: Descriptor;
  /** As they came, digest verified. */
  readonly bytes: Buffer;
}

/** What a tag stands for now. */
export interface ResolvedReference {
  readonly descriptor: Descriptor;
  /** When the registry could not say the digest without sending all. */
  readonly bytes?: Buffer;
}

interface RegistryRequest extends RequestOptions {
  readonly method: HttpMethod;
  readonly reference: ImageReference;
  /** Below `/v2/<repository>/`, or a whole URL that the registry gave. */
  readonly path: string | URL;
  /** Default: to pull from the repository. */
  readonly scope?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: HttpRequest['body'];
  /** False for what must not be repeated as it is: a broken connection is an error at once. Default true. */
  readonly isRepeatable?: boolean;
}

const MANIFEST_TYPES = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerManifestList,
  MEDIA_TYPES.dockerManifest,
];
const ACCEPT_MANIFESTS = { accept: MANIFEST_TYPES.join(', ') };
/** What servers answer that have manifests but no HEAD. */
const UNCLEAR_STATUSES: ReadonlySet<number> = new Set([400, 405, 406, 501]);
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/;

/** One for a build; keeps connections and tokens until `close`. */
export class RegistryClient {
  readonly #http: HttpClient;
  readonly #authorizer: Authorizer;
  readonly #insecure: ReadonlySet<string>;
  readonly #retry: RetryPolicy;
  /** Hosts meant to be plain that turned out to speak TLS. */
  readonly #speaksTls = new Set<string>();

  constructor(options: RegistryClientOptions = {}) {
    this.#http = new HttpClient(options);
    this.#retry = options.retry ?? DEFAULT_RETRY_POLICY;
    this.#insecure = new Set(options.insecure ?? []);
    const credentials = options.credentials ?? new DockerCredentials(options.environment ?? {});
    this.#authorizer = new Authorizer({ http: this.#http, credentials, retry: this.#retry });
  }

  /** What the name stands for now: one HEAD where the registry allows it. Throws TSB_REGISTRY_…. */
  async resolve(name: ImageReference, options: RequestOptions = {}): Promise<ResolvedReference> {
    const reference = withDefaultTag(name);
    const path = manifestPath(reference);
    const response = await this.#send({ method: 'HEAD', reference, path, headers: ACCEPT_MANIFESTS, ...options });
    discard(response);
    if (!UNCLEAR_STATUSES.has(response.status)) await this.#check(response, 'HEAD', reference);
    const descriptor = response.status === 200 ? describedBy(response, reference) : undefined;
    return descriptor === undefined ? this.fetchManifest(reference, options) : { descriptor };
  }

  /** The manifest or index under the reference's digest, else under its tag, verified. Throws TSB_REGISTRY_…. */
  async fetchManifest(name: ImageReference, options: RequestOptions = {}): Promise<FetchedManifest> {
    const reference = withDefaultTag(name);
    const path = manifestPath(reference);
    const request = { method: 'GET', reference, path, headers: ACCEPT_MANIFESTS, ...options } as const;
    const { response, bytes } = await this.#sendAndRead(request);
    const digest = digestOf(bytes);
    const stated = reference.digest ?? statedDigest(response);
    if (stated !== undefined && stated !== digest) throw otherBytes(reference, stated, digest);
    return { descriptor: { mediaType: mediaTypeOf(response), digest, size: bytes.length }, bytes };
  }

  /**
   * The blob's bytes from `offset` on; a broken connection is taken up where it broke. The caller verifies the digest.
   * Throws TSB_REGISTRY_… while it is read.
   */
  fetchBlob(
    repository: ImageReference,
    blob: Descriptor,
    { offset = 0, signal }: RequestOptions & { readonly offset?: number } = {},
  ): AsyncIterable<Uint8Array> {
    const reference = { domain: repository.domain, path: repository.path, digest: blob.digest };
    const request = async (from: number): Promise<HttpResponse> => {
      const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-${blob.size - 1}` };
      const path = `blobs/${blob.digest}`;
      const response = await this.#send({ method: 'GET', reference, path, headers, ...(signal && { signal }) });
      await this.#check(response, 'GET', reference);
      return response;
    };
    return readRange({
      name: formatReference(reference),
      size: blob.size,
      offset,
      request,
      retry: this.#retry,
      signal,
    });
  }

  /** A request of another kind, authorized and tried again like those above. Whoever gets the response reads or discards it. */
  request(request: RegistryRequest): Promise<HttpResponse> {
    return this.#send(request);
  }

  /** The error that a response means for who did what: TSB_REGISTRY_…. Discards the response. */
  async errorOf(
    response: HttpResponse,
    {
      method,
      reference,
      action = 'pull',
    }: Pick<RegistryRequest, 'method' | 'reference'> & { readonly action?: string },
  ): Promise<TsbuildError> {
    discard(response);
    const { status } = response;
    const name = formatReference(reference);
    if (status === 404) return notFoundError(name);
    if (status !== 401 && status !== 403) return statusError({ method, url: response.url }, response);
    const { domain } = reference;
    const reason = `${status} ${response.statusText}`.trimEnd();
    return unauthorizedError({ name, domain, reason, action, ...(await this.#authorizer.explain(domain)) });
  }

  /** Ends idle connections; for a process that goes on. */
  close(): void {
    this.#http.close();
  }

  async #sendAndRead(
    request: RegistryRequest,
    attempt = 1,
  ): Promise<{ readonly response: HttpResponse; readonly bytes: Buffer }> {
    const { method, reference, signal } = request;
    const response = await this.#send(request);
    await this.#check(response, method, reference);
    try {
      return { response, bytes: await readBody(response, MAX_MANIFEST_BYTES) };
    } catch (error) {
      signal?.throwIfAborted();
      if (!isPassing(error) || attempt >= this.#retry.attempts)
        throw unreachableError({ method, url: response.url }, error);
    }
    await pause(this.#retry, attempt, signal);
    return this.#sendAndRead(request, attempt + 1);
  }

  async #send(request: RegistryRequest): Promise<HttpResponse> {
    const { reference, signal, scope = `repository:${reference.path}:pull` } = request;
    const subject = { domain: reference.domain, scope };
    const authorization = this.#authorizer.headerFor(subject);
    const response = await this.#attempt(request, authorization);
    if (response.status !== 401) return response;
    discard(response);
    if (!(await this.#authorizer.answer(subject, { response, authorization }, signal))) return response;
    return this.#attempt(request, this.#authorizer.headerFor(subject));
  }

  async #attempt(request: RegistryRequest, authorization: string | undefined): Promise<HttpResponse> {
    const { method, reference, path, headers, body, isRepeatable = true, signal } = request;
    const host = hostOf(reference.domain);
    const isGiven = path instanceof URL;
    const isPlain = !isGiven && this.#isPlain(host);
    const url = isGiven ? path : registryURL(isPlain, host, `${reference.path}/${path}`);
    const isOwn = !isGiven || url.host === host;
    const send = () =>
      this.#http.send({
        method,
        url,
        headers: { ...headers, ...(isOwn && authorization !== undefined && { authorization }) },
        ...(body !== undefined && { body }),
        isVerified: !this.#insecure.has(host),
        ...(signal && { signal }),
      });
    try {
      const response = isRepeatable ? await sendWithRetries(send, this.#retry, signal) : await send();
      if (!isPlain || !isTlsComplaint(response)) return response;
      discard(response);
    } catch (error) {
      signal?.throwIfAborted();
      if (!isPlain || !isNoHttp(error)) throw unreachableError({ method, url }, error);
    }
    this.#speaksTls.add(host);
    return this.#attempt(request, authorization);
  }

  #isPlain(host: string): boolean {
    return (LOOPBACK.test(host) || this.#insecure.has(host)) && !this.#speaksTls.has(host);
  }

  async #check(response: HttpResponse, method: HttpMethod, reference: ImageReference): Promise<void> {
    if (response.status !== 200 && response.status !== 206) throw await this.errorOf(response, { method, reference });
  }
}

function hostOf(domain: string): string {
  return domain === 'docker.io' ? 'registry-1.docker.io' : domain;
}

function manifestPath(reference: ImageReference): string {
  return `manifests/${reference.digest ?? reference.tag ?? ''}`;
}

/** A TLS server answers 400 to a plain request, without what marks a registry's answer. */
function isTlsComplaint({ status, headers }: HttpResponse): boolean {
  return status === 400 && headers['docker-distribution-api-version'] === undefined;
}

/** What came back to a plain request was a TLS alert. */
function isNoHttp(error: unknown): boolean {
  return codeOf(error)?.startsWith('HPE_') === true;
}

function registryURL(isPlain: boolean, host: string, path: string): URL {
  const text = `${isPlain ? 'http' : 'https'}://${host}/v2/${path}`;
  if (URL.canParse(text)) return new URL(text);
  throw new TsbuildError('TSB_REGISTRY_UNREACHABLE', `"${host}" is no address of a registry`, {
    hint: 'check the host and the port of the name',
  });
}

function describedBy(response: HttpResponse, reference: ImageReference): Descriptor | undefined {
  const digest = statedDigest(response) ?? reference.digest;
  const size = Number(response.headers['content-length']);
  if (digest === undefined || !Number.isSafeInteger(size) || size <= 0) return undefined;
  if (reference.digest !== undefined && reference.digest !== digest)
    throw otherBytes(reference, reference.digest, digest);
  return { mediaType: mediaTypeOf(response), digest, size };
}

function statedDigest(response: HttpResponse): Digest | undefined {
  const stated = response.headers['docker-content-digest'];
  return typeof stated === 'string' && isDigest(stated) ? stated : undefined;
}

function mediaTypeOf(response: HttpResponse): string {
  return (response.headers['content-type'] ?? '').split(';', 1)[0]?.trim() ?? '';
}

function otherBytes(reference: ImageReference, expected: Digest, found: Digest): Error {
  return protocolError(formatReference(reference), `the registry sent ${found} instead of ${expected}`);
}
