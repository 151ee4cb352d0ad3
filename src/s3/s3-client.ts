// Objects of a bucket, by the few requests that a cache needs. Credentials go into signatures and nowhere else.
import { createHash } from 'node:crypto';
import { TsbuildError } from '../../solver/errors.ts';
import { readRange } from '../registry/blob-range.ts';
import { failedRequestText, urlText } from '../registry/errors.ts';
import { discard, type HttpClient, type HttpMethod, type HttpResponse, readBody } from '../registry/http.ts';
import { DEFAULT_RETRY_POLICY, sendWithRetries } from '../registry/retry.ts';
import { encodeKey, type S3Credentials, signedHeaders } from './sign.ts';

/** A bucket; without an endpoint it is Amazon's. */
export interface S3Bucket {
  readonly bucket: string;
  readonly region: string;
  /** A URL. */
  readonly endpoint?: string;
  /** The bucket is part of the path, not of the host's name. */
  readonly isPathStyle: boolean;
}

interface S3ClientOptions {
  readonly bucket: S3Bucket;
  readonly credentials: S3Credentials;
  readonly http: HttpClient;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
}

interface ObjectState {
  readonly size: number;
  readonly modifiedAtMs: number;
}

/** What is put, with its SHA-256 in hex. */
interface ObjectSource {
  readonly hash: string;
  readonly size: number;
  /** Called for each try. */
  readonly open: () => AsyncIterable<Uint8Array>;
}

interface S3Request {
  readonly method: HttpMethod;
  readonly key: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: ObjectSource;
  readonly signal: AbortSignal;
}

const EMPTY_HASH = createHash('sha256').digest('hex');
/** Larger ones would have to be sent in parts. */
const MAX_OBJECT_BYTES = 5 * 1024 ** 3;
const MAX_ERROR_BYTES = 64 * 1024;
const NO_STREAM = new Set([301, 307, 308]);

/** All methods throw TSB_S3_…. */
export class S3Client {
  readonly #options: S3ClientOptions;

  constructor(options: S3ClientOptions) {
    this.#options = options;
  }

  /** Undefined when there is no such object. */
  async stat(key: string, signal: AbortSignal): Promise<ObjectState | undefined> {
    const response = await this.#send({ method: 'HEAD', key, signal });
    discard(response);
    if (response.status === 404) return undefined;
    if (response.status !== 200) throw await this.#errorOf('HEAD', response);
    const { 'content-length': size, 'last-modified': modified } = response.headers;
    return { size: Number(size ?? 0), modifiedAtMs: Date.parse(modified ?? '') || 0 };
  }

  /** The whole object; undefined when there is none. */
  async read(key: string, maxBytes: number, signal: AbortSignal): Promise<Buffer | undefined> {
    const response = await this.#send({ method: 'GET', key, signal });
    if (response.status === 404) {
      discard(response);
      return undefined;
    }
    if (response.status !== 200) throw await this.#errorOf('GET', response);
    try {
      return await readBody(response, maxBytes);
    } catch (error) {
      signal.throwIfAborted();
      throw broken('GET', response.url, error);
    }
  }

  /** The bytes from `offset` on; a broken connection is taken up where it broke. Fails while it is read. */
  open(key: string, size: number, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const request = async (from: number): Promise<HttpResponse> => {
      const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-${size - 1}` };
      const response = await this.#send({ method: 'GET', key, headers, signal });
      if (response.status !== 200 && response.status !== 206) throw await this.#errorOf('GET', response);
      return response;
    };
    return readRange({ name: this.#nameOf(key), size, offset, request, retry: DEFAULT_RETRY_POLICY, signal });
  }

  async put(key: string, body: ObjectSource, signal: AbortSignal): Promise<void> {
    if (body.size > MAX_OBJECT_BYTES) {
      throw new TsbuildError(
        'TSB_S3_TOO_LARGE',
        `${this.#nameOf(key)}: ${body.size} bytes are more than S3 takes at once`,
        {
          hint: 'make the layer smaller, or export the cache to a registry',
        },
      );
    }
    await this.#expectOK('PUT', await this.#send({ method: 'PUT', key, body, signal }));
  }

  /** Makes the object new again for rules that remove old ones. */
  async touch(key: string, signal: AbortSignal): Promise<void> {
    const headers = {
      // Not every server decodes a colon, which each digest has.
      'x-amz-copy-source': encodeKey(`/${this.#options.bucket.bucket}/${key}`).replaceAll('%3A', ':'),
      'x-amz-metadata-directive': 'REPLACE',
      'x-amz-meta-updated-at': new Date(this.#options.now()).toISOString(),
    };
    await this.#expectOK('PUT', await this.#send({ method: 'PUT', key, headers, signal }));
  }

  async #expectOK(method: HttpMethod, response: HttpResponse): Promise<void> {
    if (response.status !== 200) throw await this.#errorOf(method, response);
    discard(response);
  }

  async #send({ method, key, headers = {}, body, signal }: S3Request): Promise<HttpResponse> {
    const { credentials, bucket, http, now } = this.#options;
    const url = objectURL(bucket, key);
    const send = (): Promise<HttpResponse> => {
      const signed = signedHeaders(credentials, {
        method,
        url,
        headers,
        payloadHash: body?.hash ?? EMPTY_HASH,
        region: bucket.region,
        nowMs: now(),
      });
      const length = method === 'PUT' ? { 'content-length': String(body?.size ?? 0) } : {};
      return http.send({ method, url, headers: { ...signed, ...length }, ...(body && { body: body.open }), signal });
    };
    try {
      return await sendWithRetries(send, DEFAULT_RETRY_POLICY, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof TsbuildError ? error : broken(method, url, error);
    }
  }

  /** S3 says what is wrong in XML; of that, code and message only. */
  async #errorOf(method: HttpMethod, response: HttpResponse): Promise<TsbuildError> {
    const { status, statusText, url } = response;
    const text = (await readBody(response, MAX_ERROR_BYTES).catch(() => Buffer.alloc(0))).toString();
    const [code, message] = ['Code', 'Message'].map((tag) => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(text)?.[1]);
    const reason = [`${status} ${statusText}`.trimEnd(), code, message].filter((part) => part).join(': ');
    const hint = NO_STREAM.has(status)
      ? `check region=${this.#options.bucket.region}: the bucket may be in another one`
      : status === 401 || status === 403
        ? 'check access_key_id, secret_access_key and region, and what they allow'
        : 'check bucket, region, endpoint_url and use_path_style';
    return new TsbuildError(
      status === 404 ? 'TSB_S3_NOT_FOUND' : 'TSB_S3_REFUSED',
      `S3: ${method} "${urlText(url)}": ${reason}`,
      { hint },
    );
  }

  #nameOf(key: string): string {
    return `s3://${this.#options.bucket.bucket}/${key}`;
  }
}

function broken(method: string, url: URL, cause: unknown): TsbuildError {
  return new TsbuildError(
    'TSB_S3_UNREACHABLE',
    `S3: failed to do request: ${failedRequestText({ method, url }, cause)}`,
    {
      hint: 'check endpoint_url, bucket and region, and that the host is reachable from here',
      cause,
    },
  );
}

/** A name that can be the first part of a host's. */
const HOST_PART = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;
const ADDRESS = /^(?:\d+\.\d+\.\d+\.\d+|\[.*\])$/;

/**
 * Where an object is: `https://bucket.s3.region.amazonaws.com/key`, or at the endpoint. Where the bucket cannot be part of
 * the host's name, it is part of the path, as Amazon's own clients do it.
 */
export function objectURL({ bucket, region, endpoint, isPathStyle }: S3Bucket, key: string): URL {
  const base = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
  const path = base.pathname.replace(/\/+$/, '');
  if (isPathStyle || !HOST_PART.test(bucket) || ADDRESS.test(base.hostname))
    base.pathname = `${path}/${encodeKey(bucket)}/${encodeKey(key)}`;
  else {
    base.hostname = `${bucket}.${base.hostname}`;
    base.pathname = `${path}/${encodeKey(key)}`;
  }
  return base;
}
