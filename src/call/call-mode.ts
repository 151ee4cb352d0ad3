// The value of `--call`: a method and a format, such as `outline,format=json`.
import { usageError } from '../cli/usage-error.ts';

/** What is printed instead of building; nothing is built in any mode. */
export interface CallMode {
  readonly method: 'lint' | 'outline' | 'targets';
  readonly isJSON: boolean;
}

/** Undefined for `build`. Throws TSB_USAGE_CALL. */
export function parseCallMode(text: string): CallMode | undefined {
  const [name = '', ...fields] = text.split(',');
  const method = name === 'check' ? 'lint' : name;
  if (method === 'build' && fields.length === 0) return undefined;
  if (method !== 'lint' && method !== 'outline' && method !== 'targets') {
    throw usageError('CALL', `invalid --call "${text}": expected check, outline, targets or build`);
  }
  let isJSON = false;
  for (const field of fields) {
    if (field !== 'format=json' && field !== 'format=text') {
      throw usageError('CALL', `invalid --call "${text}": expected format=json or format=text, not "${field}"`);
    }
    isJSON = field === 'format=json';
  }
  return { method, isJSON };
}
