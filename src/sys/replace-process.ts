// execve from JavaScript: this process becomes another program and keeps its pid, terminal and standard streams.
import { createRequire } from 'node:module';
import { SystemCallError } from './libc.ts';

interface ReplaceProcessOptions {
  readonly path: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** Becomes descriptor 3 of the new program; absent: that stays what it is. */
  readonly fd3?: number;
}

const F_SETFD = 2;

/** Does not return; throws SystemCallError when the program cannot be executed, with descriptor 3 lost. */
export function replaceProcess({ path, argv, env, fd3 }: ReplaceProcessOptions): never {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const library = koffi.load('libc.so.6');
  const execve = library.func('int execve(const char *path, const char **argv, const char **envp)');
  const fcntl = library.func('int fcntl(int fd, int command, ...)');
  const dup2 = library.func('int dup2(int from, int to)');
  for (const fd of [0, 1, 2]) fcntl(fd, F_SETFD, 'int', 0); // Node marks its standard streams close-on-exec.
  if (fd3 === 3) fcntl(3, F_SETFD, 'int', 0);
  else if (fd3 !== undefined && dup2(fd3, 3) < 0) throw new SystemCallError('dup2', koffi.errno(), String(fd3));
  execve(path, [...argv, null], [...env, null]);
  throw new SystemCallError('execve', koffi.errno(), path);
}
