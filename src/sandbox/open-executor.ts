// Chooses the executor, the built-in one or an OCI runtime, and puts a build's limits and confinement on every step.
import type { SecurityOptions } from '../cli/security-flags.ts';
import { usageError } from '../cli/usage-error.ts';
import type { ResourceLimits } from './cgroup-limits.ts';
import type { Executor, RunSpec } from './executor.ts';

interface OpenExecutorOptions {
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

/** The caller closes it. Throws TSB_SECCOMP_PROFILE and TSB_USAGE_USERNS. */
export async function openExecutor({
  stateDir,
  runtime,
  limits,
  security,
  warn,
}: OpenExecutorOptions): Promise<Executor> {
  const hasUserNamespace = security?.hasUserNamespace === true && !(await isConfined());
  if (runtime && hasUserNamespace) throw usageError('USERNS', USERNS_WITH_RUNTIME, USERNS_HINT);
  const executor = runtime
    ? new (await import('./runtime-executor.ts')).OCIRuntimeExecutor({ stateDir, runtime, note: warn })
    : new (await import('./embedded-executor.ts')).EmbeddedExecutor({ stateDir, note: warn, hasUserNamespace });
  if (limits === undefined && security === undefined) return executor;
  const common = { ...(limits && { limits }), ...(security && (await confinement(security))) };
  return { run: (spec, io) => executor.run({ ...spec, ...common }, io), close: () => executor.close() };
}

const USERNS_WITH_RUNTIME = '--userns cannot be combined with an OCI runtime';
const USERNS_HINT = 'leave out --oci-runtime (and TSBUILD_OCI_RUNTIME) to use the built-in sandbox';

/** Whether this process is in a user namespace itself, as an ordinary user's builds are. */
async function isConfined(): Promise<boolean> {
  return (await import('./sandbox-host.ts')).isInUserNamespace();
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
