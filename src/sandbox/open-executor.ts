// Chooses the executor, the built-in one or an OCI runtime, and puts a build's limits on every step.
import type { ResourceLimits } from './cgroup-limits.ts';
import type { Executor } from './executor.ts';

export interface OpenExecutorOptions {
  /** A directory of the executor's own: holds a few empty directories, no file. */
  readonly stateDir: string;
  /** Name or path of an OCI runtime; undefined or empty: none. */
  readonly runtime: string | undefined;
  /** Of every step. */
  readonly limits?: ResourceLimits | undefined;
  /** Says something that is no failure. */
  readonly warn: (message: string) => void;
}

/** The caller closes it. */
export async function openExecutor({ stateDir, runtime, limits, warn }: OpenExecutorOptions): Promise<Executor> {
  const executor = runtime
    ? new (await import('./runtime-executor.ts')).OCIRuntimeExecutor({ stateDir, runtime, note: warn })
    : new (await import('./embedded-executor.ts')).EmbeddedExecutor({ stateDir, note: warn });
  if (limits === undefined) return executor;
  return { run: (spec, io) => executor.run({ ...spec, limits }, io), close: () => executor.close() };
}
