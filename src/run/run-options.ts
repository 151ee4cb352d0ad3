// What `tsbuild run` is asked to do: the flags of `docker run` as far as they mean something without a daemon.
import { resolve } from 'node:path';
import type { NetworkMode } from '../../solver/op.ts';
import { type AddedHost, readAddedHost } from '../cli/add-host.ts';
import { type RawLimitFlags, readLimits } from '../cli/limit-flags.ts';
import { readNetwork } from '../cli/options.ts';
import { readSecurityOptions, type SecurityOptions } from '../cli/security-flags.ts';
import { readTmpfs, type TmpfsOption } from '../cli/tmpfs.ts';
import { readShmSize, readUlimit, type Ulimit } from '../cli/ulimit.ts';
import { usageError } from '../cli/usage-error.ts';
import type { ResourceLimits } from '../sandbox/cgroup-limits.ts';

/**
 * Checked as far as that can be done without the image; what is undefined is the image's choice, or Docker's default.
 */
export interface RunOptions {
  readonly image: string;
  /** Empty: the image's own. */
  readonly command: readonly string[];
  /** Standard input is passed on. */
  readonly isInteractive: boolean;
  /** The process gets a terminal of its own. */
  readonly hasTerminal: boolean;
  /** A bare name is a variable that the process is not to have. */
  readonly env: readonly string[];
  readonly workingDir: string | undefined;
  readonly user: string | undefined;
  readonly volumes: readonly VolumeOption[];
  readonly network: NetworkMode;
  readonly name: string | undefined;
  readonly hostname: string | undefined;
  /** An empty text is no entrypoint at all; undefined is the image's. */
  readonly entrypoint: string | undefined;
  readonly platform: string | undefined;
  readonly limits: ResourceLimits | undefined;
  readonly shmSizeBytes: number | undefined;
  readonly ulimits: readonly Ulimit[];
  readonly tmpfs: readonly TmpfsOption[];
  readonly addHosts: readonly AddedHost[];
  /** Nothing but mounts can be written to. */
  readonly isRootReadonly: boolean;
  readonly security: SecurityOptions | undefined;
  /** Name or path of an OCI runtime; undefined or empty: the built-in sandbox. */
  readonly ociRuntime: string | undefined;
}

interface VolumeOption {
  /** Absolute. */
  readonly source: string;
  readonly dest: string;
  readonly isReadonly: boolean;
}

/** What commander hands over for `run`. */
export interface RawRunFlags extends RawLimitFlags {
  readonly ociRuntime?: string;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly volume?: readonly string[];
  readonly network?: string;
  readonly name?: string;
  readonly hostname?: string;
  readonly entrypoint?: string;
  readonly platform?: string;
  readonly shmSize?: string;
  readonly ulimit?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly addHost?: readonly string[];
  readonly readOnly?: boolean;
}

interface RunSurroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** Checks and completes the flags; throws TSB_USAGE_…. */
export function normaliseRunOptions(
  [image, ...command]: readonly [string, ...string[]],
  flags: RawRunFlags,
  { env, cwd }: RunSurroundings,
): RunOptions {
  if (flags.workdir !== undefined && !flags.workdir.startsWith('/')) {
    throw usageError('WORKDIR', `invalid --workdir "${flags.workdir}": expected an absolute path`);
  }
  if (flags.name !== undefined && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(flags.name)) {
    throw usageError('NAME', `invalid --name "${flags.name}": expected letters, digits and _.-`);
  }
  if (flags.hostname !== undefined && !/^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,63}$/.test(flags.hostname)) {
    throw usageError('HOSTNAME', `invalid --hostname "${flags.hostname}": expected up to 64 letters, digits and _.-`);
  }
  const volumes = (flags.volume ?? []).map((text) => readVolume(text, cwd));
  const tmpfs = (flags.tmpfs ?? []).map(readTmpfs);
  refuseDuplicates([...volumes, ...tmpfs]);
  const network = readNetwork(flags.network ?? 'default');
  return {
    image,
    command,
    isInteractive: flags.interactive === true,
    hasTerminal: flags.tty === true,
    env: (flags.env ?? []).map((text) => readVariable(text, env)),
    workingDir: flags.workdir,
    user: flags.user,
    volumes,
    network,
    name: flags.name,
    hostname: flags.hostname,
    entrypoint: flags.entrypoint,
    platform: flags.platform ?? env['DOCKER_DEFAULT_PLATFORM'],
    limits: readLimits(flags),
    shmSizeBytes: readShmSize(flags.shmSize),
    ulimits: (flags.ulimit ?? []).map(readUlimit),
    tmpfs,
    addHosts: (flags.addHost ?? []).map((text) => readAddedHost(text, network)),
    isRootReadonly: flags.readOnly === true,
    security: readSecurityOptions(flags.securityOpt ?? [], flags.userns),
    ociRuntime: flags.ociRuntime ?? env['TSBUILD_OCI_RUNTIME'],
  };
}

function refuseDuplicates(mounts: readonly { readonly dest: string }[]): void {
  const seen = new Set<string>();
  for (const { dest } of mounts) {
    const path = resolve(dest);
    if (seen.has(path)) throw usageError('VOLUME', `several --volume or --tmpfs for ${path}`);
    seen.add(path);
  }
}

/** Without a value a variable is taken from the environment; one that is not there keeps its bare name. */
function readVariable(text: string, env: NodeJS.ProcessEnv): string {
  if (text === '' || text.startsWith('='))
    throw usageError('ENV', `invalid --env "${text}": expected NAME=VALUE or NAME`);
  const value = env[text];
  return text.includes('=') || value === undefined ? text : `${text}=${value}`;
}

function readVolume(text: string, cwd: string): VolumeOption {
  const [source = '', dest = '', mode = 'rw', ...rest] = text.split(':');
  const modes = mode.split(',').filter((word) => word !== 'z' && word !== 'Z');
  const isKnown = modes.every((word) => word === 'ro' || word === 'rw');
  if (source === '' || !dest.startsWith('/') || rest.length > 0 || !isKnown) {
    throw usageError('VOLUME', `invalid --volume "${text}": expected SOURCE:/TARGET or SOURCE:/TARGET:ro`);
  }
  if (!/^[./~]/.test(source)) {
    throw usageError(
      'VOLUME',
      `a named volume in --volume "${text}" is not supported`,
      `for a directory write ./${source}`,
    );
  }
  return { source: resolve(cwd, source), dest, isReadonly: modes.includes('ro') };
}
