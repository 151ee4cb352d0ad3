// Writing to a repository: blobs that are not there yet, then manifests.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
import type { ImageReference } from '../../frontend/reference.ts';
import { digestOf } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Descriptor } from '../image/descriptor.ts';
import { protocolError } from './errors.ts';
import { discard, type HttpResponse } from './http.ts';
import type { RegistryClient } from './registry-client.ts';
import { DEFAULT_RETRY_POLICY, isPassing, pause, type RetryPolicy } from './retry.ts';

/** A blob that may have to be sent. */
export interface BlobSource {
  readonly descriptor: Descriptor;
  /** The blob's bytes; called only when they have to be sent, once for each try. */
  readonly open: () => Promise<AsyncIterable<Uint8Array>>;
  /** Repositories of the same registry that may have it, best first. */
  readonly mountFrom?: readonly string[];
}

/** How a blob came into the repository. */
export type PushedHow = 'there' | 'mounted' | 'uploaded';

interface PusherOptions {
  readonly client: RegistryClient;
  /** Where to; tag and digest do not count. */
  readonly repository: ImageReference;
  readonly signal?: AbortSignal;
  readonly retry?: RetryPolicy;
}

const PARALLEL_BLOBS = 4;
/** More places would cost more questions than the upload of most blobs. */
const MAX_MOUNT_TRIES = 2;

/** Pushes to one repository. All methods throw TSB_REGISTRY_…. */
export class Pusher {
  readonly #options: PusherOptions;
  readonly #repository: ImageReference;
  readonly #scope: string;

  constructor(options: PusherOptions) {
    this.#options = options;
    const { domain, path } = options.repository;
    this.#repository = { domain, path };
    this.#scope = `repository:${path}:pull,push`;
  }

  /** Several at a time; each digest once. The first failure ends it. `onPushed` is told of each. */
  async pushBlobs(
    sources: readonly BlobSource[],
    onPushed: (descriptor: Descriptor, how: PushedHow) => void = () => undefined,
  ): Promise<void> {
    const pending = [...new Map(sources.map((source) => [source.descriptor.digest, source])).values()];
    const work = async (): Promise<void> => {
      for (let source = pending.shift(); source !== undefined; source = pending.shift()) {
        try {
          onPushed(source.descriptor, await this.pushBlob(source));
        } catch (error) {
          pending.length = 0;
          throw error;
        }
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: PARALLEL_BLOBS }, work));
    const failed = ended.find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  }

  /** Nothing is sent when the repository has the blob, or can take it from another one. */
  async pushBlob(source: BlobSource): Promise<PushedHow> {
    if (await this.#hasBlob(source.descriptor)) return 'there';
    for (const from of (source.mountFrom ?? []).slice(0, MAX_MOUNT_TRIES)) {
      if (await this.#mount(source.descriptor, from)) return 'mounted';
    }
    const { retry = DEFAULT_RETRY_POLICY } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#upload(source);
        return 'uploaded';
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        if (attempt >= retry.attempts || !isWorthRetrying(error)) throw error;
        await pause(retry, attempt, this.#options.signal);
      }
    }
  }

  /** Puts the manifest or index under a tag, or under its digest without one. */
  async pushManifest(bytes: Uint8Array, mediaType: string, tag?: string): Promise<void> {
    const name = tag ?? digestOf(bytes);
    const response = await this.#options.client.request({
      ...this.#common('PUT', `manifests/${name}`),
      headers: { 'content-type': mediaType, 'content-length': String(bytes.length) },
      body: bytes,
    });
    await this.#expect(response, 'PUT', [200, 201, 202]);
  }

  async #hasBlob({ digest }: Descriptor): Promise<boolean> {
    const response = await this.#options.client.request(this.#common('HEAD', `blobs/${digest}`));
    if (response.status === 404) {
      discard(response);
      return false;
    }
    await this.#expect(response, 'HEAD', [200]);
    return true;
  }

  async #mount({ digest }: Descriptor, from: string): Promise<boolean> {
    const query = new URLSearchParams({ mount: digest, from });
    const response = await this.#options.client.request({
      ...this.#common('POST', `blobs/uploads/?${query}`),
      scope: `${this.#scope} repository:${from}:pull`,
      headers: { 'content-length': '0' },
    });
    discard(response);
    // 202 begins an upload instead, which the registry forgets; other answers mean that it cannot be had from there.
    return response.status === 201;
  }

  async #upload({ descriptor, open }: BlobSource): Promise<void> {
    const { client } = this.#options;
    const started = await client.request({
      ...this.#common('POST', 'blobs/uploads/'),
      headers: { 'content-length': '0' },
    });
    await this.#expect(started, 'POST', [202]);
    const chunks = await open();
    let isUsed = false;
    const response = await client.request({
      ...this.#common('PUT', this.#uploadURL(started, descriptor)),
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(descriptor.size) },
      // What has arrived of a broken upload is the registry's secret: it is begun anew.
      isRepeatable: false,
      body: () => {
        // A second try of the same request, such as after a challenge, needs the bytes anew.
        const again = isUsed;
        isUsed = true;
        return again ? reopened(open) : chunks;
      },
    });
    await this.#expect(response, 'PUT', [201, 204]);
  }

  #uploadURL(response: HttpResponse, { digest }: Descriptor): URL {
    const { location } = response.headers;
    if (location === undefined || !URL.canParse(location, response.url.href)) {
      throw protocolError(
        `${this.#repository.domain}/${this.#repository.path}`,
        'the registry tells no place to upload to',
      );
    }
    const url = new URL(location, response.url);
    url.searchParams.set('digest', digest);
    return url;
  }

  #common(method: 'HEAD' | 'POST' | 'PUT', path: string | URL) {
    const { signal } = this.#options;
    return { method, path, reference: this.#repository, scope: this.#scope, ...(signal && { signal }) };
  }

  async #expect(response: HttpResponse, method: 'HEAD' | 'POST' | 'PUT', statuses: readonly number[]): Promise<void> {
    if (statuses.includes(response.status)) discard(response);
    else throw await this.#options.client.errorOf(response, { method, reference: this.#repository, action: 'push' });
  }
}

async function* reopened(open: BlobSource['open']): AsyncGenerator<Uint8Array> {
  yield* await open();
}

/** A broken connection or a registry in trouble: an upload begun anew may end. */
function isWorthRetrying(error: unknown): boolean {
  if (!(error instanceof TsbuildError)) return isPassing(error);
  if (error.code === 'TSB_REGISTRY_UNAVAILABLE') return true;
  return error.code === 'TSB_REGISTRY_UNREACHABLE' && isPassing(error.cause);
}
