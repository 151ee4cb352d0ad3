// Trying again what failed for a passing reason, a bounded number of times, with growing pauses.
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../sys/error-code.ts';
import { discard, type HttpResponse } from './http.ts';

/** How often and how patiently; times in ms. */
export interface RetryPolicy {
  /** Tries in all. */
  readonly attempts: number;
  /** The first pause; each next one is twice as long. */
  readonly baseMs: number;
  /** The longest pause, also for a peer that asks for more. */
  readonly maxMs: number;
}

/** Four pauses: less than four seconds together where the peer asks for no more. */
export const DEFAULT_RETRY_POLICY: RetryPolicy = { attempts: 5, baseMs: 250, maxMs: 20_000 };

const PASSING_CODES: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'EAI_AGAIN', 'ERR_STREAM_PREMATURE_CLOSE']);
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** True for a broken connection, which a second try can heal. */
export function isPassing(error: unknown): boolean {
  return PASSING_CODES.has(codeOf(error) ?? '');
}

/** The answer of the first try that is no passing failure; of the last one, whatever it is. */
export async function sendWithRetries(
  send: () => Promise<HttpResponse>,
  policy: RetryPolicy,
  signal?: AbortSignal,
): Promise<HttpResponse> {
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt >= policy.attempts;
    const outcome = await settle(send);
    if ('error' in outcome) {
      if (isLast || !isPassing(outcome.error)) throw outcome.error;
      await pause(policy, attempt, signal);
      continue;
    }
    const { response } = outcome;
    if (isLast || !PASSING_STATUSES.has(response.status)) return response;
    const askedMs = retryAfterMs(response);
    // A peer that wants minutes will not be better in seconds.
    if (askedMs !== undefined && askedMs > policy.maxMs) return response;
    discard(response);
    await pause(policy, attempt, signal, askedMs);
  }
}

/** Waits before try `attempt` + 1: as long as the peer asks, else longer from time to time. */
export async function pause(
  policy: RetryPolicy,
  attempt: number,
  signal?: AbortSignal,
  askedMs?: number,
): Promise<void> {
  const growing = Math.min(policy.baseMs * 2 ** (attempt - 1), policy.maxMs);
  await sleep(askedMs ?? growing, undefined, signal === undefined ? {} : { signal });
}

function retryAfterMs(response: HttpResponse): number | undefined {
  const value = response.headers['retry-after'];
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

async function settle(
  send: () => Promise<HttpResponse>,
): Promise<{ readonly response: HttpResponse } | { readonly error: unknown }> {
  try {
    return { response: await send() };
  } catch (error) {
    return { error };
  }
}
