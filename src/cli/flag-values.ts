// Values of flags that several commands read, and the error about a wrong one.
import { usageError } from './usage-error.ts';

/** Sizes as Docker reads them: `64m`, `1g`, `1024`, binary units; in bytes. */
export function readSize(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(text);
  if (!match?.[1]) throw usageError('SIZE', `invalid ${flag} "${text}": expected a size such as 64m`);
  return Math.floor(Number(match[1]) * 1024 ** ' kmgtp'.indexOf((match[2] || ' ').toLowerCase()));
}
