// Bodies of URLs in the content store. What was fetched by an earlier build is fetched again only when the server says, or
// its ETag says, that it has changed; within one build a URL means the same bytes each time.
import { TsbuildError } from '../../solver/errors.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { SecretSource } from '../ops/exec-mounts.ts';
import { discard, type HttpClient, type HttpResponse } from '../registry/http.ts';
import { DEFAULT_RETRY_POLICY, isPassing, pause, type RetryPolicy, sendWithRetries } from '../registry/retry.ts';
import type { FetchedFile, FetchedFiles } from '../store/fetched-files.ts';
import { badStatus, unreachableFile } from './errors.ts';

interface HttpFetcherPorts {
  readonly http: HttpClient;
  readonly content: ContentStore;
  readonly fetchedFiles: FetchedFiles;
  readonly secrets: SecretSource;
  readonly retry?: RetryPolicy;
}

/** Two who ask for one URL share a fetch: the first one's signal and report are used. */
export interface FetchOptions {
  readonly signal: AbortSignal;
  /** Bytes so far and in all, as far as known. */
  readonly report: (current: number, total: number | undefined, done: boolean) => void;
}

/** A server's dates have whole seconds: a file this young may change again without a new date. */
const LEAST_AGE_MS = 2000;
/** Bytes between two reports of progress. */
const REPORT_BYTES = 1024 * 1024;

/** One for a build. */
export class HttpFetcher {
  readonly #ports: HttpFetcherPorts;
  readonly #fetches = new Map<string, Promise<FetchedFile>>();

  constructor(ports: HttpFetcherPorts) {
    this.#ports = ports;
  }

  /** What the URL holds now, its body in the content store. Throws TSB_HTTP_UNREACHABLE, TSB_HTTP_STATUS. */
  fetch(url: string, options: FetchOptions): Promise<FetchedFile> {
    const running = this.#fetches.get(url) ?? this.#fetch(url, options);
    this.#fetches.set(url, running);
    return running;
  }

  /** What an earlier build has fetched from there, if its body is still here. Nobody is asked. */
  findEarlier(url: string): FetchedFile | undefined {
    const { content, fetchedFiles } = this.#ports;
    const file = fetchedFiles.find(url);
    return file !== undefined && content.has(file.digest) ? file : undefined;
  }

  async #fetch(text: string, options: FetchOptions): Promise<FetchedFile> {
    const { retry = DEFAULT_RETRY_POLICY, fetchedFiles } = this.#ports;
    const url = new URL(text);
    const known = this.findEarlier(text);
    for (let attempt = 1; ; attempt++) {
      const response = await this.#request(url, known, options.signal);
      if (known !== undefined && isUnchanged(response, known)) {
        leave(response);
        return known;
      }
      if (response.status < 200 || response.status >= 300) {
        discard(response);
        throw badStatus(url, response.status);
      }
      const outcome = await this.#receive(response, options).catch((error: unknown) => ({ error }));
      if (!('error' in outcome)) {
        fetchedFiles.save(text, outcome);
        return outcome;
      }
      const { error } = outcome;
      if (error instanceof TsbuildError || options.signal.aborted) throw error;
      if (attempt >= retry.attempts || !isPassing(error)) throw unreachableFile(url, error);
      await pause(retry, attempt, options.signal);
    }
  }

  async #request(url: URL, known: FetchedFile | undefined, signal: AbortSignal): Promise<HttpResponse> {
    const { http, retry = DEFAULT_RETRY_POLICY } = this.#ports;
    const headers = { ...(await this.#authorization(url)), ...conditions(known) };
    try {
      return await sendWithRetries(() => http.send({ method: 'GET', url, headers, signal }), retry, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw unreachableFile(url, error);
    }
  }

  /** As BuildKit asks for them: by host name, a token wins over a whole header. */
  async #authorization({ hostname }: URL): Promise<Readonly<Record<string, string>>> {
    const { secrets } = this.#ports;
    const token = await secrets.read(`HTTP_AUTH_TOKEN_${hostname}`);
    if (token !== undefined) return { authorization: `Bearer ${textOf(token)}` };
    const header = await secrets.read(`HTTP_AUTH_HEADER_${hostname}`);
    return header === undefined ? {} : { authorization: textOf(header) };
  }

  async #receive(response: HttpResponse, { signal, report }: FetchOptions): Promise<FetchedFile> {
    const total = Number(response.headers['content-length'] ?? Number.NaN);
    const reported = reporting(response.body, (current) =>
      report(current, Number.isNaN(total) ? undefined : total, false),
    );
    const { digest, size } = await this.#ports.content.receive(reported, signal);
    report(size, size, true);
    const etag = response.headers.etag?.replace(/^W\//, '');
    const [modifiedMs, sentMs] = [timeOf(response, 'last-modified'), timeOf(response, 'date')];
    return {
      digest,
      ...(etag !== undefined && { etag }),
      ...(modifiedMs !== undefined && { lastModified: new Date(modifiedMs).toUTCString() }),
      isDateUnique: modifiedMs !== undefined && sentMs !== undefined && sentMs - modifiedMs >= LEAST_AGE_MS,
    };
  }
}

async function* reporting(
  body: AsyncIterable<Uint8Array>,
  report: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let current = 0;
  let reportedAt = 0;
  for await (const chunk of body) {
    current += chunk.length;
    if (current - reportedAt >= REPORT_BYTES) {
      reportedAt = current;
      report(current);
    }
    yield chunk;
  }
}

/** Questions that only a changed file answers with its body. */
function conditions(known: FetchedFile | undefined): Readonly<Record<string, string>> {
  if (known?.etag !== undefined) return { 'if-none-match': known.etag };
  if (known?.lastModified === undefined || !known.isDateUnique) return {};
  return { 'if-modified-since': known.lastModified };
}

function isUnchanged({ status, headers }: HttpResponse, { etag }: FetchedFile): boolean {
  if (status === 304) return true;
  // Some servers know ETags but not the question.
  return status === 200 && etag !== undefined && headers.etag === etag;
}

/** A body that is not wanted: read when there is none, so that the connection can be kept. */
function leave(response: HttpResponse): void {
  if (response.status === 304) discard(response);
  else response.body.destroy();
}

/** A date of the header, ms since the epoch. */
function timeOf({ headers }: HttpResponse, name: 'date' | 'last-modified'): number | undefined {
  const timeMs = Date.parse(headers[name] ?? '');
  return Number.isNaN(timeMs) ? undefined : timeMs;
}

function textOf(secret: Uint8Array): string {
  return Buffer.from(secret).toString('utf8').trim();
}
