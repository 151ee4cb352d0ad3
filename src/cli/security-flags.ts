// `--security-opt` and `--userns`, of `build` and `run` alike.
import { usageError } from './usage-error.ts';

/** What changes of a step's confinement. */
export interface SecurityOptions {
  /** Path of a profile to use instead of Docker's, or no filter at all. */
  readonly seccomp?: { readonly file: string } | 'unconfined';
  /** No program gains rights by its setuid bit or capabilities. */
  readonly noNewPrivileges?: boolean;
  /** Steps run in a user namespace even when this process does not. */
  readonly hasUserNamespace?: true;
}

/** Undefined when nothing changes. Throws TSB_USAGE_SECURITY_OPT and TSB_USAGE_USERNS. */
export function readSecurityOptions(
  texts: readonly string[],
  userNamespace?: string | undefined,
): SecurityOptions | undefined {
  const options = texts.map(readOption);
  if (hasUserNamespace(userNamespace)) options.push({ hasUserNamespace: true });
  return options.length === 0 ? undefined : Object.assign({}, ...options);
}

function hasUserNamespace(mode: string | undefined): boolean {
  if (mode === undefined || mode === 'host') return false;
  if (mode === 'auto') return true;
  throw usageError('USERNS', `invalid --userns "${mode}": expected auto or host`);
}

function readOption(text: string): SecurityOptions {
  const [, name = '', value = ''] = /^([^=:]*)(?:[=:](.*))?$/s.exec(text) ?? [];
  if (name === 'seccomp' && value !== '') {
    if (value === 'builtin') return {};
    return { seccomp: value === 'unconfined' ? 'unconfined' : { file: value } };
  }
  if (name === 'no-new-privileges' && ['', 'true', 'false'].includes(value)) {
    return { noNewPrivileges: value !== 'false' };
  }
  throw usageError(
    'SECURITY_OPT',
    `invalid --security-opt "${text}": expected seccomp=FILE, seccomp=unconfined or no-new-privileges`,
  );
}
