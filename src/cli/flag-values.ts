// Values of flags that several commands read, and the error about a wrong one.
import { usageError } from './usage-error.ts';

/** 8 PiB: larger numbers would be written down inexactly. */
const MOST_BYTES = Number.MAX_SAFE_INTEGER;

/** Sizes as Docker reads them: `64m`, `1g`, `1024`, binary units; in bytes. */
export function readSize(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(text);
  if (!match?.[1]) throw usageError('SIZE', `invalid ${flag} "${text}": expected a size such as 64m`);
  const bytes = Math.floor(Number(match[1]) * 1024 ** ' kmgtp'.indexOf((match[2] || ' ').toLowerCase()));
  if (bytes <= MOST_BYTES) return bytes;
  throw usageError('SIZE', `invalid ${flag} "${text}": more than ${MOST_BYTES} bytes`);
}
