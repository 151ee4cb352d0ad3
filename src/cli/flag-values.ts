// Values of flags that several commands read, and the error about a wrong one.
import { TsbuildError } from '../../solver/errors.ts';

/** A usage error: exit code 2. */
export function usageError(code: string, message: string, hint?: string): TsbuildError {
  return new TsbuildError(`TSB_USAGE_${code}`, message, { exitCode: 2, ...(hint === undefined ? {} : { hint }) });
}

/** Sizes as Docker reads them: `64m`, `1g`, `1024`, binary units; in bytes. */
export function readSize(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(text);
  if (!match?.[1]) throw usageError('SIZE', `invalid ${flag} "${text}": expected a size such as 64m`);
  return Math.floor(Number(match[1]) * 1024 ** ' kmgtp'.indexOf((match[2] || ' ').toLowerCase()));
}
