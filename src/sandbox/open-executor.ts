// Chooses the executor, the built-in one or an OCI runtime, and puts a build's limits and confinement on every step.
import type { SecurityOptions } from '../cli/security-flags.ts';
import type { ResourceLimits } from './cgroup-limits.ts';
import type { Executor, RunSpec } from './executor.ts';

export interface OpenExecutorOptions {
  /** A directory of the executor's own: holds a few empty directories, no file. */
  readonly stateDir: string;
  /** Name or path of an OCI runtime; undefined or empty: none. */
  readonly runtime: string | undefined;
  /** Of every step. */
  readonly limits?: ResourceLimits | undefined;
  readonly security?: SecurityOptions | undefined;
  /** Says something that is no failure. */
  readonly warn: (message: string) => void;
}

/** The caller closes it. Throws TSB_SECCOMP_PROFILE. */
export async function openExecutor({
  stateDir,
  runtime,
  limits,
  security,
  warn,
}: OpenExecutorOptions): Promise<Executor> {
  const executor = runtime
    ? new (await import('./runtime-executor.ts')).OCIRuntimeExecutor({ stateDir, runtime, note: warn })
    : new (await import('./embedded-executor.ts')).EmbeddedExecutor({ stateDir, note: warn });
  if (limits === undefined && security === undefined) return executor;
  const common = { ...(limits && { limits }), ...(security && (await confinement(security))) };
  return { run: (spec, io) => executor.run({ ...spec, ...common }, io), close: () => executor.close() };
}

async function confinement({
  seccomp,
  noNewPrivileges,
}: SecurityOptions): Promise<Pick<RunSpec, 'seccomp' | 'noNewPrivileges'>> {
  const changes = { ...(noNewPrivileges !== undefined && { noNewPrivileges }) };
  if (seccomp === undefined || seccomp === 'unconfined') return { ...changes, ...(seccomp && { seccomp }) };
  const [{ readSeccompFile }, { machineArch }] = await Promise.all([
    import('./seccomp-file.ts'),
    import('./sandbox-host.ts'),
  ]);
  return { ...changes, seccomp: readSeccompFile(seccomp.file, machineArch()) };
}
