// The value of --chmod: an octal number, or symbolic clauses such as `u+x,g-w`.
import { TsbuildError } from '../solver/errors.ts';

/** Permission bits, or the symbolic text that changes them. */
export type FileMode = { readonly mode: number } | { readonly modeStr: string };

const MAX_MODE = 0o7777;
const SYMBOLIC = /^[ugoa]*(?:[-+=](?:[ugo]|[rwxXst]*))+(?:,[ugoa]*(?:[-+=](?:[ugo]|[rwxXst]*))+)*$/;

/** Throws TSB_DOCKERFILE_CHMOD_INVALID. */
export function parseFileMode(text: string): FileMode {
  if (/^[0-7]+$/.test(text)) {
    const mode = Number.parseInt(text, 8);
    if (mode <= MAX_MODE) return { mode };
  } else if (SYMBOLIC.test(text)) {
    return { modeStr: text };
  }
  throw new TsbuildError(
    'TSB_DOCKERFILE_CHMOD_INVALID',
    `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    { hint: 'symbolic forms such as u+x,g=rX work too' },
  );
}
