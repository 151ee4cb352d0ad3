// From an exec op's mounts to the sandbox's: what each mount's files are, and what has to be given back afterwards.
import { TsbuildError, unreachable } from '../../solver/errors.ts';
import type { ExecMount, SecretEnv } from '../../solver/op.ts';
import type { Result } from '../../solver/op-runner.ts';
import type { OverlayMount, SandboxMount } from '../sandbox/executor.ts';
import type { ActiveSnapshot, SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import type { CacheMountRequest, CacheMounts } from './cache-mounts.ts';

/** Values of `--secret`; asked only when a step runs. */
export interface SecretSource {
  /** The secret's bytes, or undefined when no such secret was given. */
  read(id: string): Promise<Uint8Array | undefined>;
}

/** The ssh agents of `--ssh`; asked only when a step runs. */
export interface AgentSource {
  /** Where sockets that lead to an agent are made: temporary files of processes that have ended are removed from there. */
  readonly directory: string;
  /** The agent's socket, or undefined when no agent was given under this id. */
  socketOf(id: string): Promise<string | undefined>;
}

/** Where the files behind mounts come from. */
export interface ExecMountPorts {
  readonly snapshotter: Snapshotter;
  readonly cacheMounts: CacheMounts;
  readonly secrets: SecretSource;
  readonly agents: AgentSource;
  /** A snapshot with the files of an input at the selector's path: the input's own, or a copy of a build context. */
  readonly snapshotOf: (input: Result, selector: string) => Promise<SnapshotName | undefined>;
}

interface ExecMountRequest {
  readonly inputs: readonly Result[];
  readonly ignoreCache: boolean;
  readonly signal: AbortSignal;
}

/** What a step's mounts hold until `release`. */
export class ExecMounts {
  readonly mounts: SandboxMount[] = [];
  /** Snapshots that mounts with an output are written into. */
  readonly outputs = new Map<number, ActiveSnapshot>();
  readonly #ports: ExecMountPorts;
  readonly #request: ExecMountRequest;
  readonly #cleanups: (() => void)[] = [];

  constructor(ports: ExecMountPorts, request: ExecMountRequest) {
    this.#ports = ports;
    this.#request = request;
  }

  /** Adds the mounts in order. Throws TSB_SECRET_NOT_FOUND, TSB_SSH_NOT_FOUND. */
  async add(mounts: readonly ExecMount[]): Promise<void> {
    const caches = await this.#acquireCaches(mounts);
    for (const mount of mounts) {
      const made = caches.get(mount) ?? (await this.#make(mount));
      if (made !== undefined) this.mounts.push(made);
    }
  }

  /** Gives back locks and what was written to be thrown away. */
  release(): void {
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
  }

  /** In the order of their keys, so that two steps never wait for each other. */
  async #acquireCaches(mounts: readonly ExecMount[]): Promise<ReadonlyMap<ExecMount, SandboxMount>> {
    const { cacheMounts } = this.#ports;
    const wanted = mounts.flatMap((mount) => {
      if (mount.type !== 'cache') return [];
      const request = this.#cacheRequest(mount);
      return [{ mount, request, key: cacheMounts.keyOf(request) }];
    });
    wanted.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
    const made = new Map<ExecMount, SandboxMount>();
    for (const { mount, request } of wanted) made.set(mount, await this.#makeCache(mount, request));
    return made;
  }

  #cacheRequest(mount: ExecMount): CacheMountRequest {
    const { id, sharing } = mount.cache ?? { id: mount.dest, sharing: 'shared' };
    return { id, sharing, inputID: this.#inputOf(mount).id, isFresh: this.#request.ignoreCache };
  }

  async #makeCache(mount: ExecMount, request: CacheMountRequest): Promise<SandboxMount> {
    const directory = await this.#ports.cacheMounts.acquire(request, this.#request.signal);
    this.#cleanups.push(() => directory.release());
    const place = { dest: mount.dest, ...(mount.readonly && { readonly: true }) };
    const base = await this.#ports.snapshotOf(this.#inputOf(mount), mount.selector ?? '/');
    if (base === undefined) return { ...place, kind: 'bind', source: directory.upperDir };
    const { upperDir, workDir } = directory;
    const overlay = { lowerDirs: this.#ports.snapshotter.stack(base), upperDir, workDir };
    return { ...place, kind: 'overlay', overlay, selector: mount.selector ?? '/' };
  }

  async #make(mount: ExecMount): Promise<SandboxMount | undefined> {
    switch (mount.type) {
      case 'bind':
        return await this.#makeBind(mount);
      case 'tmpfs': {
        const sizeBytes = mount.tmpfs?.sizeBytes;
        return { kind: 'tmpfs', dest: mount.dest, ...(sizeBytes !== undefined && { sizeBytes }) };
      }
      case 'secret':
        return await this.#makeSecret(mount);
      case 'ssh':
        return await this.#makeAgent(mount);
      case 'cache':
        throw new Error('internal error: cache mounts are made first');
      default:
        return unreachable(mount.type);
    }
  }

  async #makeBind(mount: ExecMount): Promise<SandboxMount> {
    const selector = mount.selector ?? '/';
    const base = await this.#ports.snapshotOf(this.#inputOf(mount), selector);
    const place = { dest: mount.dest, kind: 'overlay', selector } as const;
    if (mount.readonly === true && mount.output < 0 && base !== undefined) {
      return { ...place, readonly: true, overlay: { lowerDirs: this.#ports.snapshotter.stack(base) } };
    }
    const active = this.#ports.snapshotter.prepare(base);
    if (mount.output < 0) this.#cleanups.push(() => this.#ports.snapshotter.discard(active));
    else this.outputs.set(mount.output, active);
    return { ...place, ...(mount.readonly && { readonly: true }), overlay: overlayOf(active) };
  }

  async #makeSecret(mount: ExecMount): Promise<SandboxMount | undefined> {
    const secret = mount.secret;
    if (secret === undefined) throw new Error('internal error: a secret mount without a secret');
    const bytes = await readSecret(this.#ports.secrets, secret);
    if (bytes === undefined) return undefined;
    const { mode, uid, gid } = secret;
    return { kind: 'secret', dest: mount.dest, bytes, mode, uid, gid };
  }

  /** A socket of this step's own, with the owner asked for, that leads to the agent. */
  async #makeAgent(mount: ExecMount): Promise<SandboxMount | undefined> {
    const { ssh } = mount;
    if (ssh === undefined) throw new Error('internal error: an ssh mount without an agent');
    const id = ssh.id === '' ? 'default' : ssh.id;
    const socket = await this.#ports.agents.socketOf(id);
    if (socket === undefined) {
      if (ssh.optional) return undefined;
      throw new TsbuildError('TSB_SSH_NOT_FOUND', `no SSH key "${id}" forwarded from the client`, {
        hint: `give it with --ssh ${id === 'default' ? id : `${id}=SOCKET`}`,
      });
    }
    const { forwardAgent } = await import('./agent-forward.ts');
    const forward = await forwardAgent(socket, this.#ports.agents.directory, ssh);
    this.#cleanups.push(() => forward.close());
    return { kind: 'bind', dest: mount.dest, source: forward.path, isPassing: true };
  }

  #inputOf(mount: ExecMount): Result {
    if (mount.input < 0) return { id: undefined };
    const input = this.#request.inputs[mount.input];
    if (input === undefined) throw new Error(`internal error: mount "${mount.dest}" has no input ${mount.input}`);
    return input;
  }
}

/** The overlay of an active snapshot on its stack. */
export function overlayOf({ upperDir, workDir, lowerDirs }: ActiveSnapshot): OverlayMount {
  if (lowerDirs.length > MOST_LAYERS) {
    throw new TsbuildError(
      'TSB_SNAPSHOT_TOO_DEEP',
      `a process cannot run on ${lowerDirs.length} layers: overlayfs takes ${MOST_LAYERS} at most`,
      { hint: 'join steps before this one: one COPY with several sources, one RUN with several commands' },
    );
  }
  return { upperDir, workDir, lowerDirs };
}

/** The kernel's own limit, OVL_MAX_STACK. */
const MOST_LAYERS = 500;

/** The environment entries of secrets. Throws TSB_SECRET_NOT_FOUND. */
export async function secretVariables(
  wanted: readonly SecretEnv[] | undefined,
  secrets: SecretSource,
): Promise<readonly string[]> {
  const variables: string[] = [];
  for (const secret of wanted ?? []) {
    const bytes = await readSecret(secrets, secret);
    if (bytes !== undefined) variables.push(`${secret.name}=${Buffer.from(bytes).toString('utf8')}`);
  }
  return variables;
}

async function readSecret(
  secrets: SecretSource,
  { id, optional }: { readonly id: string; readonly optional: boolean },
): Promise<Uint8Array | undefined> {
  const bytes = await secrets.read(id);
  if (bytes !== undefined || optional) return bytes;
  throw new TsbuildError('TSB_SECRET_NOT_FOUND', `secret ${id}: not found`, {
    hint: `give it with --secret id=${id},src=FILE or --secret id=${id},env=NAME`,
  });
}
