// Where the store is when nobody says it for this one run.
import { userInfo } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import type { Environment } from '../sys/environment.ts';

/** Where the store is, an absolute path; `uid` is the real user's, `env.HOME` their home unless it is empty. */
export function defaultStoreRoot(env: Environment, uid: number): string {
  if (isSet(env.TSBUILD_ROOT)) return resolve(env.TSBUILD_ROOT);
  if (uid === 0) return '/var/lib/tsbuild';
  // The XDG specification has relative paths ignored.
  if (isSet(env.XDG_DATA_HOME) && isAbsolute(env.XDG_DATA_HOME)) return join(env.XDG_DATA_HOME, 'tsbuild');
  return resolve(isSet(env.HOME) ? env.HOME : homeOnRecord(), '.local/share/tsbuild');
}

/** As the password file has it; a user may be in none. */
function homeOnRecord(): string {
  try {
    return userInfo().homedir;
  } catch {
    return '/';
  }
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}
