// What is wrong with the command line.
import { TsbuildError } from '../../solver/errors.ts';

/** A usage error: exit code 2. */
export function usageError(code: string, message: string, hint?: string): TsbuildError {
  return new TsbuildError(`TSB_USAGE_${code}`, message, { exitCode: 2, ...(hint === undefined ? {} : { hint }) });
}
