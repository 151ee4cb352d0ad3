// `--tmpfs /PATH[:OPTIONS]` of `run`, with the options and defaults of `docker run`.
import type { TmpfsMount } from '../sandbox/executor.ts';
import { readSize } from './flag-values.ts';
import { usageError } from './usage-error.ts';

/** One `--tmpfs`. */
export interface TmpfsOption extends TmpfsMount {
  readonly dest: string;
  readonly readonly: boolean;
}

const KNOWN = 'known are ro, rw, exec, noexec, size, mode, uid, gid, nr_inodes';

/** Throws TSB_USAGE_TMPFS and TSB_USAGE_SIZE. */
export function readTmpfs(text: string): TmpfsOption {
  const colon = text.indexOf(':');
  const [dest, options] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)];
  if (!dest.startsWith('/') || /^\/+$/.test(dest)) {
    throw usageError('TMPFS', `invalid --tmpfs "${text}": expected /PATH or /PATH:OPTIONS`);
  }
  const words = options.split(',').filter((word) => word !== '');
  const fields = words.map((word) => readOption(word, text));
  return { kind: 'tmpfs', dest, readonly: false, isNoexec: true, ...Object.assign({}, ...fields) };
}

/** What it changes. Setuid bits and devices count in no tmpfs. */
function readOption(word: string, text: string): Partial<TmpfsOption> {
  const [, name = word, value = ''] = /^([a-z_]+)=(.*)$/.exec(word) ?? [];
  const number = (pattern: RegExp, radix: number): number => {
    if (!pattern.test(value)) throw usageError('TMPFS', `invalid --tmpfs "${text}": ${name}="${value}" is no number`);
    return Number.parseInt(value, radix);
  };
  switch (name) {
    case 'ro':
    case 'rw':
      return { readonly: name === 'ro' };
    case 'exec':
    case 'noexec':
      return { isNoexec: name === 'noexec' };
    case 'nosuid':
    case 'nodev':
      return {};
    case 'size':
      return { sizeBytes: readSize('--tmpfs size', value) };
    case 'mode':
      return { mode: number(/^[0-7]{1,4}$/, 8) };
    case 'uid':
    case 'gid':
      return { [name]: number(/^\d{1,9}$/, 10) };
    case 'nr_inodes':
      return { inodes: number(/^\d{1,9}$/, 10) };
    default:
      throw usageError('TMPFS', `invalid --tmpfs "${text}": there is no option "${word}"`, KNOWN);
  }
}
