// posix_spawn and waitpid. Node's own spawn forks, which copies the page tables of a large process (10 ms at 200 MB);
// posix_spawn shares them until the new program runs.
import { createRequire } from 'node:module';
import { SystemCallError } from './libc.ts';

interface SpawnProcessOptions {
  readonly path: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** The new program's descriptors 0, 1, 2, … in order; all others that are close-on-exec are closed. */
  readonly fds: readonly number[];
}

interface SpawnCalls {
  readonly actionsInit: (actions: Buffer) => number;
  readonly actionsDestroy: (actions: Buffer) => number;
  readonly addDup2: (actions: Buffer, from: number, to: number) => number;
  readonly attributesInit: (attributes: Buffer) => number;
  readonly attributesDestroy: (attributes: Buffer) => number;
  readonly setFlags: (attributes: Buffer, flags: number) => number;
  readonly setDefaultSignals: (attributes: Buffer, signals: Buffer) => number;
  readonly spawn: (
    pid: Int32Array,
    path: string,
    actions: Buffer,
    attributes: Buffer,
    argv: readonly (string | null)[],
    env: readonly (string | null)[],
  ) => number;
  readonly waitpid: (pid: number, status: Int32Array, options: number) => number;
  readonly errno: () => number;
}

let bound: SpawnCalls | undefined;

function calls(): SpawnCalls {
  bound ??= bind();
  return bound;
}

function bind(): SpawnCalls {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const library = koffi.load('libc.so.6');
  return {
    actionsInit: library.func('int posix_spawn_file_actions_init(void *actions)'),
    actionsDestroy: library.func('int posix_spawn_file_actions_destroy(void *actions)'),
    addDup2: library.func('int posix_spawn_file_actions_adddup2(void *actions, int from, int to)'),
    attributesInit: library.func('int posix_spawnattr_init(void *attributes)'),
    attributesDestroy: library.func('int posix_spawnattr_destroy(void *attributes)'),
    setFlags: library.func('int posix_spawnattr_setflags(void *attributes, short flags)'),
    setDefaultSignals: library.func('int posix_spawnattr_setsigdefault(void *attributes, const void *signals)'),
    spawn: library.func(
      'int posix_spawn(_Out_ int *pid, const char *path, const void *actions, const void *attributes, const char **argv, const char **env)',
    ),
    waitpid: library.func('int waitpid(int pid, _Out_ int *status, int options)'),
    errno: () => koffi.errno(),
  };
}

/** Larger than glibc's and musl's structures. */
const OPAQUE_BYTES = 512;
const POSIX_SPAWN_SETSIGDEF = 0x4;
const POSIX_SPAWN_SETSIGMASK = 0x8;

/** Starts a program with default signal handling and returns its pid, for `waitForProcess`. Throws SystemCallError. */
export function spawnProcess({ path, argv, env, fds }: SpawnProcessOptions): number {
  const posix = calls();
  const actions = Buffer.alloc(OPAQUE_BYTES);
  const attributes = Buffer.alloc(OPAQUE_BYTES);
  const pid = new Int32Array(1);
  posix.actionsInit(actions);
  posix.attributesInit(attributes);
  try {
    for (const [to, from] of fds.entries()) posix.addDup2(actions, from, to);
    posix.setDefaultSignals(attributes, Buffer.alloc(128, 0xff));
    posix.setFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    const errno = posix.spawn(pid, path, actions, attributes, [...argv, null], [...env, null]);
    if (errno !== 0) throw new SystemCallError('posix_spawn', errno, path);
  } finally {
    posix.actionsDestroy(actions);
    posix.attributesDestroy(attributes);
  }
  return pid[0] ?? -1;
}

/** Waits, without returning to the event loop, for a process that is known to be ending; its raw wait status. */
export function waitForProcess(pid: number): number {
  const status = new Int32Array(1);
  while (calls().waitpid(pid, status, 0) < 0) {
    const errno = calls().errno();
    if (errno !== EINTR) throw new SystemCallError('waitpid', errno, String(pid));
  }
  return status[0] ?? 0;
}

const EINTR = 4;
