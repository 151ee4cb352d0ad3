// The mounts of a RUN as LLB orders them: trees, caches and tmpfs by their place in the rootfs, then secrets, then agents.
import { posix } from 'node:path';
import type { ExecMount, SecretEnv, SecretOpt } from '../solver/op.ts';
import type { SourceTree, StepScope } from './convert-scope.ts';
import type { Draft, InputPlaces, Tree } from './draft.ts';
import { dockerfileError } from './errors.ts';
import { absolutePath, cleanPath } from './image-path.ts';
import { EMPTY_SOURCE } from './local-source.ts';
import type { RunMount } from './run-mount.ts';
import { resolveMountTarget } from './run-mount.ts';
import { CACHE_PERMISSIONS_NAME } from './step-name.ts';

/** A mount with the tree it shows; the input number follows when the vertex is finished. */
export interface MountDraft {
  readonly tree: Tree;
  readonly mount: Omit<ExecMount, 'input'>;
}

/** A RUN's mounts by what they need: trees become inputs of the vertex, secrets and agents do not. */
export interface RunMounts {
  /** Binds, caches and tmpfs. */
  readonly trees: readonly MountDraft[];
  readonly secrets: readonly ExecMount[];
  readonly agents: readonly ExecMount[];
  readonly secretEnv: readonly SecretEnv[];
  /** Where the first ssh agent's socket is. */
  readonly agentSocket: string | undefined;
}

interface PlanMountsOptions {
  readonly workdir: string;
  readonly scope: StepScope;
}

const CACHE_DIRECTORY = '/cache';
const CACHE_MODE = 0o755;
const SECRET_MODE = 0o400;
const AGENT_MODE = 0o600;
const SECRETS_DIRECTORY = '/run/secrets';

/** What the mounts of an instruction ask for. Throws TSB_DOCKERFILE_MOUNT and what finding a source throws. */
export function planMounts(mounts: readonly RunMount[], options: PlanMountsOptions): RunMounts {
  const { scope } = options;
  const ofType = (...types: readonly RunMount['type'][]) => mounts.filter(({ type }) => types.includes(type));
  const secrets = ofType('secret').map(planSecret);
  const agents = ofType('ssh').map(agentMount);
  return {
    trees: [...ofType('bind', 'cache', 'tmpfs').map((mount) => treeMount(mount, options)), ...shmMount(scope)],
    secrets: secrets.flatMap(({ mount }) => (mount === undefined ? [] : [mount])),
    agents,
    secretEnv: secrets.flatMap(({ env }) => (env === undefined ? [] : [env])),
    agentSocket: agents[0]?.dest,
  };
}

/** The mounts in LLB's order; `places` are the input numbers of the trees in the order given. */
export function placeMounts(mounts: RunMounts, places: InputPlaces['places']): readonly ExecMount[] {
  const placed = mounts.trees.map(({ mount }, index): ExecMount => ({ input: places[index] ?? -1, ...mount }));
  return [...placed, ...mounts.secrets, ...mounts.agents];
}

/** Trees in the order of their place in the rootfs, which is the order LLB numbers inputs in. */
export function sortByDest(trees: readonly MountDraft[]): readonly MountDraft[] {
  return trees.toSorted((left, right) => Buffer.compare(Buffer.from(left.mount.dest), Buffer.from(right.mount.dest)));
}

function treeMount(mount: RunMount, options: PlanMountsOptions): MountDraft {
  const dest = resolveMountTarget(mount.target, options.workdir);
  if (mount.type === 'tmpfs') {
    const tmpfs = mount.sizeBytes === undefined || mount.sizeBytes === 0 ? {} : { sizeBytes: mount.sizeBytes };
    return { tree: undefined, mount: { dest, output: -1, ...readonlyFlag(mount), type: 'tmpfs', tmpfs } };
  }
  const source = mountSource(mount, options.scope);
  const path = absolutePath('/', mount.source ?? '');
  source.needPath(path);
  const isOwned = path === '/' && (mount.mode ?? mount.uid ?? mount.gid) !== undefined;
  const selector = isOwned ? CACHE_DIRECTORY : path;
  const base = { dest, output: -1, ...(selector !== '/' && { selector }), ...readonlyFlag(mount) };
  const tree = isOwned ? cacheDirectory(mount, source.tree) : source.tree;
  return {
    tree,
    mount: mount.type === 'bind' ? { ...base, type: 'bind' } : { ...base, ...cacheFields(mount, options) },
  };
}

function mountSource({ type, from = '', target = '' }: RunMount, scope: StepScope): SourceTree {
  const source = from === '' ? undefined : scope.source(from);
  if (source !== undefined) return source;
  if (from !== '') {
    const message = `cannot mount from stage "${from}" to "${target}", stage needs to be defined before current command`;
    throw dockerfileError('STAGE_ORDER', message, { hint: 'move that stage up' });
  }
  return type === 'cache' ? EMPTY_SOURCE : scope.build.context;
}

function cacheFields(mount: RunMount, { scope }: PlanMountsOptions): Pick<ExecMount, 'type' | 'cache'> {
  const namespace = scope.build.buildArgs.BUILDKIT_CACHE_MOUNT_NS ?? '';
  const id = mount.cacheID === undefined || mount.cacheID === '' ? cleanPath(mount.target ?? '') : mount.cacheID;
  return { type: 'cache', cache: { id: `${namespace}/${id}`, sharing: mount.sharing ?? 'shared' } };
}

/** A cache's first content when its mode or owner is asked for: one directory that has them. */
function cacheDirectory(mount: RunMount, base: Tree): Draft {
  const owner = { user: { id: mount.uid ?? 0 }, group: { id: mount.gid ?? 0 } };
  return {
    sources: [base],
    options: { name: CACHE_PERMISSIONS_NAME },
    createOp: ({ places: [input = -1] }) => ({
      kind: 'file',
      actions: [
        {
          action: 'mkdir',
          input,
          secondaryInput: -1,
          output: 0,
          path: CACHE_DIRECTORY,
          mode: (mount.mode ?? CACHE_MODE) & 0o777,
          makeParents: false,
          owner,
        },
      ],
    }),
  };
}

function shmMount({ build }: StepScope): readonly MountDraft[] {
  const { shmSizeBytes = 0 } = build.options;
  if (shmSizeBytes === 0) return [];
  return [
    { tree: undefined, mount: { dest: '/dev/shm', output: -1, type: 'tmpfs', tmpfs: { sizeBytes: shmSizeBytes } } },
  ];
}

/** A secret is a file unless only `env` is given. */
function planSecret(mount: RunMount): { readonly mount: ExecMount | undefined; readonly env: SecretEnv | undefined } {
  const { target = '', source = '', cacheID = '', required, env } = mount;
  const id = [source, cacheID, posix.basename(target)].find((name) => name !== '') ?? '';
  const optional = !required;
  const dest = target === '' && env === undefined ? posix.join(SECRETS_DIRECTORY, posix.basename(id)) : target;
  const file: ExecMount = {
    input: -1,
    dest,
    output: 0,
    type: 'secret',
    secret: { id, ...ownerOf(mount, SECRET_MODE), optional },
  };
  return {
    mount: dest === '' ? undefined : file,
    env: env === undefined ? undefined : { id, name: env, optional },
  };
}

function agentMount(mount: RunMount, index: number): ExecMount {
  const { target = '', source = '', cacheID = '', required } = mount;
  if (source !== '') throw dockerfileError('MOUNT', 'ssh does not support source');
  const dest = target === '' ? `/run/buildkit/ssh_agent.${index}` : target;
  const ssh = { id: cacheID, ...ownerOf(mount, AGENT_MODE), optional: !required };
  return { input: -1, dest, output: 0, type: 'ssh', ssh };
}

function ownerOf({ uid = 0, gid = 0, mode }: RunMount, usual: number): Pick<SecretOpt, 'uid' | 'gid' | 'mode'> {
  return { uid, gid, mode: mode ?? usual };
}

function readonlyFlag(mount: RunMount): { readonly readonly?: true } {
  return mount.readonly ? { readonly: true } : {};
}
