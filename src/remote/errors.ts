// What can go wrong with a file fetched over http, in BuildKit's words.
import type { Digest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { failedRequestText, urlText } from '../registry/errors.ts';

/** No answer, or one that broke off. */
export function unreachableFile(url: URL, cause: unknown): TsbuildError {
  return new TsbuildError('TSB_HTTP_UNREACHABLE', failedRequestText({ method: 'GET', url }, cause), {
    hint: `check that ${url.host} is up and reachable from here, and the spelling of its name`,
    cause,
  });
}

/** An answer without a file. */
export function badStatus(url: URL, status: number): TsbuildError {
  const isAuth = status === 401 || status === 403;
  const hint = isAuth
    ? `give credentials for ${url.hostname} with --secret id=HTTP_AUTH_TOKEN_${url.hostname},env=NAME`
    : `check "${urlText(url)}"`;
  return new TsbuildError('TSB_HTTP_STATUS', `invalid response status ${status}`, { hint });
}

/** Other bytes than `ADD --checksum` asks for. */
export function checksumMismatch(url: URL, found: Digest, wanted: string): TsbuildError {
  return new TsbuildError('TSB_HTTP_CHECKSUM_MISMATCH', `digest mismatch ${found}: ${wanted}`, {
    hint: `"${urlText(url)}" is not the file that --checksum names: check both`,
  });
}

/** The same error as one that came up while the cache key was looked for. */
export function whileLoadingKey(error: unknown): unknown {
  if (!(error instanceof TsbuildError)) return error;
  return new TsbuildError(error.code, `failed to load cache key: ${error.message}`, {
    ...(error.hint !== undefined && { hint: error.hint }),
    ...(error.cause !== undefined && { cause: error.cause }),
  });
}
