// A blob from an offset to its end over connections that may break: each break is taken up where it happened.
import { codeOf } from '../sys/error-code.ts';
import { protocolError, unreachableError } from './errors.ts';
import { discard, type HttpResponse } from './http.ts';
import { isPassing, pause, type RetryPolicy } from './retry.ts';

interface ReadRangeOptions {
  /** For messages. */
  readonly name: string;
  /** Of the whole blob, in bytes. */
  readonly size: number;
  readonly offset: number;
  /** Asks for the bytes from an offset on; the answer's status is 200 or 206. */
  readonly request: (offset: number) => Promise<HttpResponse>;
  readonly retry: RetryPolicy;
  readonly signal: AbortSignal | undefined;
}

/** Gives up when `retry.attempts` connections in a row brought nothing. Throws TSB_REGISTRY_…; never gives more than `size`. */
export async function* readRange(options: ReadRangeOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const { size, retry, signal } = options;
  let at = options.offset;
  let failures = 0;
  while (at < size) {
    const response = await options.request(at);
    const before = at;
    try {
      for await (const chunk of bodyFrom(response, at, options)) {
        at += chunk.length;
        yield chunk;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!isBroken(error)) throw error;
      failures = at > before ? 0 : failures + 1;
      if (failures >= retry.attempts) throw unreachableError({ method: 'GET', url: response.url }, error);
      await pause(retry, failures + 1, signal);
      continue;
    }
    failures = at > before ? 0 : failures + 1;
    if (at < size && failures >= retry.attempts) throw truncated(options, at);
  }
}

async function* bodyFrom(
  response: HttpResponse,
  offset: number,
  { name, size }: ReadRangeOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  // A server that knows no ranges sends all; what is here already is skipped.
  let toSkip = response.status === 206 ? offset - rangeStart(response, offset, name) : offset;
  let left = size - offset;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      const skipped = Math.min(toSkip, chunk.length);
      toSkip -= skipped;
      const fresh = skipped === 0 ? chunk : chunk.subarray(skipped);
      if (fresh.length > left) throw protocolError(name, `the registry sent more than the ${size} bytes it has`);
      left -= fresh.length;
      if (fresh.length > 0) yield fresh;
    }
  } finally {
    if (!response.body.readableEnded) response.body.destroy();
  }
}

function rangeStart(response: HttpResponse, offset: number, name: string): number {
  const start = /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1];
  if (start !== undefined && Number(start) <= offset) return Number(start);
  discard(response);
  throw protocolError(name, 'the registry sent another part than it was asked for');
}

function isBroken(error: unknown): boolean {
  return isPassing(error) || codeOf(error) === 'ETIMEDOUT';
}

function truncated({ name, size }: ReadRangeOptions, at: number): Error {
  return protocolError(name, `the registry ends the blob after ${at} of ${size} bytes`);
}
