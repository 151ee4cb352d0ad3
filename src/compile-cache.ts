// Where V8's compiled form of the command is kept between runs. Node's own default is a directory in /tmp that whoever comes
// first owns: nobody else could use it, and Node runs what it finds there without asking whose it is.
import { mkdirSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { isAbsolute, join } from 'node:path';
import type { Environment } from './sys/environment.ts';

/** Absolute path, or undefined when no place is known to belong to this user; `uid` is the one outside a user namespace of ours. */
export function compileCacheDirectory(env: Environment, uid: number): string | undefined {
  // Not in $HOME, which sudo may have left another user's.
  if (uid === 0) return '/var/cache/tsbuild';
  const { XDG_CACHE_HOME = '', HOME = '' } = env;
  if (isAbsolute(XDG_CACHE_HOME)) return join(XDG_CACHE_HOME, 'tsbuild');
  return isAbsolute(HOME) ? join(HOME, '.cache/tsbuild') : undefined;
}

/** Has Node use the directory, made for this user alone; goes without where it cannot be made. */
export function useCompileCache(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch {
    return;
  }
  enableCompileCache(directory);
}
