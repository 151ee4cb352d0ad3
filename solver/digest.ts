// A digest names bytes: `sha256:` and 64 hex digits. Parsed once at the border, trusted inside.
import { createHash } from 'node:crypto';
import { TsbuildError } from './errors.ts';

declare const digestBrand: unique symbol;

/** `sha256:<64 lower-case hex digits>`, see https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests */
export type Digest = string & { readonly [digestBrand]: true };

const SHA256 = /^sha256:[0-9a-f]{64}$/;

/** True when the text is a well-formed sha256 digest. */
export function isDigest(text: string): text is Digest {
  return SHA256.test(text);
}

/** The text as a Digest; throws TSB_DIGEST_INVALID. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new TsbuildError('TSB_DIGEST_INVALID', `invalid digest "${text}": expected sha256: and 64 hex digits`);
}

/** The digest of the bytes (text is taken as UTF-8). */
export function digestOf(bytes: Uint8Array | string): Digest {
  return digestFromHex(createHash('sha256').update(bytes).digest('hex'));
}

/** The digest whose hex part the caller has just computed with sha256. */
export function digestFromHex(hex: string): Digest {
  // A sha256 in hex is well formed by construction.
  return `sha256:${hex}` as Digest;
}

/** The 64 hex digits of the digest. */
export function digestHex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}
