// What a build is asked to do, after argv and environment have been read once and before anything is touched.
import { splitPair } from '../../frontend/args.ts';
import type { Entitlement } from '../../frontend/entitlements.ts';
import type { NetworkMode } from '../../solver/op.ts';
import type { ResourceLimits } from '../sandbox/cgroup-limits.ts';
import { type AddedHost, readAddedHost } from './add-host.ts';
import { type RawLimitFlags, readLimits } from './limit-flags.ts';
import { readNoCacheFilter } from './no-cache-filter.ts';
import { readSecurityOptions, type SecurityOptions } from './security-flags.ts';
import { readShmSize, readUlimit, type Ulimit } from './ulimit.ts';
import { usageError } from './usage-error.ts';

/** `auto` is the terminal view on a terminal and plain lines elsewhere. */
export type ProgressMode = 'auto' | 'tty' | 'plain' | 'quiet';

/** Checked, as far as that can be done without looking at a file or image. */
export interface BuildOptions {
  /** The build context as given: a directory. */
  readonly context: string;
  /** Undefined: `Dockerfile` in the context. */
  readonly dockerfile: string | undefined;
  readonly tags: readonly string[];
  readonly buildArgs: Readonly<Record<string, string>>;
  /** A file with rules on what may be fetched. */
  readonly sourcePolicyFile: string | undefined;
  /** Name to source, such as `oci-layout://dir`. */
  readonly buildContexts: Readonly<Record<string, string>>;
  readonly target: string | undefined;
  /** As written; empty: this machine's. */
  readonly platforms: readonly string[];
  readonly noCache: boolean;
  readonly noCacheStages: readonly string[];
  readonly pull: boolean;
  readonly network: NetworkMode;
  /** From `--allow`; `--network host` allows itself. */
  readonly allowed: ReadonlySet<Entitlement>;
  readonly labels: Readonly<Record<string, string>>;
  /** The texts of `-o`. */
  readonly outputs: readonly string[];
  /** The texts of `--cache-from` and `--cache-to`. */
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
  readonly iidfile: string | undefined;
  readonly metadataFile: string | undefined;
  readonly progress: ProgressMode;
  readonly secrets: readonly SecretOption[];
  readonly agents: readonly AgentOption[];
  readonly addHosts: readonly AddedHost[];
  readonly ulimits: readonly Ulimit[];
  readonly shmSizeBytes: number | undefined;
  readonly limits: ResourceLimits | undefined;
  readonly security: SecurityOptions | undefined;
  /** Name or path of the OCI runtime that runs the steps; undefined or empty: the built-in sandbox. */
  readonly ociRuntime: string | undefined;
}

/** `--secret id=x,src=file` or `id=x,env=NAME`; the value is read when a step asks for it. */
export interface SecretOption {
  readonly id: string;
  readonly from: { readonly file: string } | { readonly env: string };
}

/** `--ssh default` or `id=path,…`: sockets of agents, or keys for an agent of this build's; none means `$SSH_AUTH_SOCK`. */
export interface AgentOption {
  readonly id: string;
  readonly paths: readonly string[];
}

/** What commander hands over for `build`; every list may be absent. */
export interface RawBuildFlags extends RawLimitFlags {
  readonly ociRuntime?: string;
  readonly tag?: readonly string[];
  readonly file?: string;
  readonly buildArg?: readonly string[];
  readonly buildContext?: readonly string[];
  readonly sourcePolicyFile?: string;
  readonly target?: string;
  readonly platform?: string;
  readonly cache?: boolean;
  readonly noCacheFilter?: readonly string[];
  readonly pull?: boolean;
  readonly network?: string;
  readonly label?: readonly string[];
  readonly output?: readonly string[];
  readonly push?: boolean;
  readonly cacheFrom?: readonly string[];
  readonly cacheTo?: readonly string[];
  readonly iidfile?: string;
  readonly metadataFile?: string;
  readonly progress?: string;
  readonly check?: boolean;
  readonly call?: string;
  readonly allow?: readonly string[];
  readonly ssh?: readonly string[];
  readonly quiet?: boolean;
  readonly secret?: readonly string[];
  readonly addHost?: readonly string[];
  readonly ulimit?: readonly string[];
  readonly shmSize?: string;
}

/** Checks and completes the flags; throws TSB_USAGE_… (exit code 2). */
export function normaliseBuildOptions(context: string, flags: RawBuildFlags, env: NodeJS.ProcessEnv): BuildOptions {
  return {
    context,
    dockerfile: flags.file,
    tags: flags.tag ?? [],
    buildArgs: readBuildArgs(flags.buildArg ?? [], env),
    buildContexts: readPairs('--build-context', flags.buildContext ?? []),
    sourcePolicyFile: flags.sourcePolicyFile ?? (env['EXPERIMENTAL_BUILDKIT_SOURCE_POLICY'] || undefined),
    target: flags.target,
    platforms: (flags.platform ?? env['DOCKER_DEFAULT_PLATFORM'] ?? '').split(',').filter((text) => text !== ''),
    noCache: flags.cache === false,
    noCacheStages: readNoCacheFilter(flags.noCacheFilter ?? []),
    pull: flags.pull ?? false,
    network: readNetwork(flags.network ?? 'default'),
    allowed: readAllowed(flags.allow ?? [], flags.network),
    labels: readPairs('--label', flags.label ?? [], { valueRequired: false }),
    outputs: [...(flags.output ?? []), ...(flags.push === true ? ['type=registry'] : [])],
    cacheFrom: flags.cacheFrom ?? [],
    cacheTo: flags.cacheTo ?? [],
    iidfile: flags.iidfile,
    metadataFile: flags.metadataFile,
    progress: flags.quiet === true ? 'quiet' : readProgress(flags.progress ?? env['BUILDKIT_PROGRESS'] ?? 'auto'),
    secrets: (flags.secret ?? []).map((text) => readSecret(text, env)),
    agents: (flags.ssh ?? []).map(readAgent),
    addHosts: (flags.addHost ?? []).map((text) => readAddedHost(text, readNetwork(flags.network ?? 'default'))),
    ulimits: (flags.ulimit ?? []).map(readUlimit),
    shmSizeBytes: readShmSize(flags.shmSize),
    limits: readLimits(flags),
    security: readSecurityOptions(flags.securityOpt ?? [], flags.userns),
    ociRuntime: flags.ociRuntime ?? env['TSBUILD_OCI_RUNTIME'],
  };
}

function readBuildArgs(texts: readonly string[], env: NodeJS.ProcessEnv): Record<string, string> {
  const args: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    const key = equals < 0 ? text : text.slice(0, equals);
    if (key === '') throw usageError('BUILD_ARG', `invalid --build-arg "${text}": expected NAME=VALUE or NAME`);
    const value = equals < 0 ? env[key] : text.slice(equals + 1);
    if (value !== undefined) args[key] = value;
  }
  // As docker build does: a reproducible build needs no flag.
  const epoch = env['SOURCE_DATE_EPOCH'];
  if (epoch !== undefined && !Object.hasOwn(args, 'SOURCE_DATE_EPOCH')) args['SOURCE_DATE_EPOCH'] = epoch;
  return args;
}

function readPairs(flag: string, texts: readonly string[], { valueRequired = true } = {}): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals === 0 || (equals < 0 && valueRequired)) {
      throw usageError('PAIR', `invalid ${flag} "${text}": expected NAME=VALUE`);
    }
    pairs[equals < 0 ? text : text.slice(0, equals)] = equals < 0 ? '' : text.slice(equals + 1);
  }
  return pairs;
}

/** Throws TSB_USAGE_NETWORK. */
export function readNetwork(text: string): NetworkMode {
  if (text === 'default') return 'sandbox';
  if (text === 'host' || text === 'none') return text;
  throw usageError('NETWORK', `invalid --network "${text}": expected default, host or none`);
}

function readAllowed(texts: readonly string[], network: string | undefined): ReadonlySet<Entitlement> {
  const allowed = new Set<Entitlement>(network === 'host' ? ['network.host'] : []);
  for (const text of texts) {
    if (text !== 'network.host' && text !== 'security.insecure') {
      throw usageError('ALLOW', `invalid --allow "${text}": expected network.host or security.insecure`);
    }
    allowed.add(text);
  }
  return allowed;
}

function readProgress(text: string): ProgressMode {
  if (text === 'auto' || text === 'tty' || text === 'plain' || text === 'quiet') return text;
  throw usageError('PROGRESS', `invalid --progress "${text}": expected auto, tty, plain or quiet`);
}

const SECRET_HINT = 'use id=NAME,src=FILE or id=NAME,env=VARIABLE';

function readSecret(text: string, env: NodeJS.ProcessEnv): SecretOption {
  const fields = new Map(text.split(',').map((part) => splitPair(part)));
  for (const key of fields.keys()) {
    if (!['id', 'src', 'source', 'env', 'type'].includes(key)) {
      throw usageError('SECRET', `invalid --secret: unexpected key "${key}"`, SECRET_HINT);
    }
  }
  const id = fields.get('id');
  if (!id) throw usageError('SECRET', 'invalid --secret: id is missing', SECRET_HINT);
  const file = fields.get('src') ?? fields.get('source');
  const variable = fields.get('env');
  if (file !== undefined && fields.get('type') !== 'env') return { id, from: { file } };
  if (variable !== undefined || fields.get('type') === 'env') return { id, from: { env: variable ?? file ?? id } };
  return { id, from: env[id] === undefined ? { file: id } : { env: id } };
}

function readAgent(text: string): AgentOption {
  const [id, paths] = splitPair(text);
  if (id === '') throw usageError('SSH', `invalid --ssh "${text}": expected default, ID=SOCKET or ID=KEY`);
  return { id, paths: paths === '' ? [] : paths.split(',') };
}
