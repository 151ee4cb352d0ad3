// BuildKit's LLB operations as plain records: same fields, same meanings (solver/pb/ops.proto of moby/buildkit).
// Numbers that LLB leaves at zero are optional here and are left out when an op is encoded.
import type { Digest } from './digest.ts';

/** Operating system and processor an op runs for, as the image specification spells them. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly osFeatures?: readonly string[];
}

/** An input of an op: output `index` of the vertex with that digest. */
export interface OpInput {
  readonly digest: Digest;
  readonly index: number;
}

/** Bytes from outside: `docker-image://ref@digest`, `oci-layout://…`, `local://name`, `git://…`, `https://…`. */
export interface SourceOp {
  readonly kind: 'source';
  readonly identifier: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly platform?: Platform;
}

export type MountType = 'bind' | 'secret' | 'ssh' | 'cache' | 'tmpfs';
export type CacheSharing = 'shared' | 'private' | 'locked';

export interface ExecMount {
  /** Index into the vertex's inputs, or -1 for an empty start. */
  readonly input: number;
  /** Path inside the input. */
  readonly selector?: string;
  /** Absolute path inside the rootfs. */
  readonly dest: string;
  /** Output number, or -1 when what is written is thrown away. */
  readonly output: number;
  readonly readonly?: boolean;
  readonly type: MountType;
  readonly tmpfs?: { readonly sizeBytes?: number };
  readonly cache?: { readonly id: string; readonly sharing: CacheSharing };
  readonly secret?: SecretOpt;
  readonly ssh?: SecretOpt;
}

export interface SecretOpt {
  readonly id: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly optional: boolean;
}

export interface SecretEnv {
  readonly id: string;
  readonly name: string;
  readonly optional: boolean;
}

export interface ExecMeta {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user?: string;
  readonly hostname?: string;
  readonly extraHosts?: readonly { readonly host: string; readonly ip: string }[];
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly cgroupParent?: string;
  /** Proxy variables: in the process's environment, never in a key. */
  readonly proxyEnv?: Readonly<Record<string, string>>;
}

export type NetworkMode = 'sandbox' | 'host' | 'none';

export interface ExecOp {
  readonly kind: 'exec';
  readonly meta: ExecMeta;
  /** The first is the rootfs (dest "/"); then in the order BuildKit sorts them. */
  readonly mounts: readonly ExecMount[];
  readonly network: NetworkMode;
  readonly security: 'sandbox' | 'insecure';
  readonly secretEnv?: readonly SecretEnv[];
  readonly platform?: Platform;
}

export interface Chown {
  readonly user?: UserRef;
  readonly group?: UserRef;
}

/** A user or group by number, or by name looked up in /etc/passwd or /etc/group of input `input` (-1: none). */
export type UserRef = { readonly id: number } | { readonly name: string; readonly input: number };

interface FileActionBase {
  /** Index into the inputs, or inputs.length + n for the result of action n, or -1 for an empty tree. */
  readonly input: number;
  /** Same numbering; the tree a copy reads from, else -1. */
  readonly secondaryInput: number;
  /** Output number, or -1 for a step in between. */
  readonly output: number;
}

export interface CopyAction extends FileActionBase {
  readonly action: 'copy';
  readonly src: string;
  readonly dest: string;
  readonly owner?: Chown;
  /** Permission bits, or -1 to keep the source's. */
  readonly mode: number;
  /** Symbolic mode such as `u+x`; when set, `mode` is not encoded. */
  readonly modeStr?: string;
  readonly followSymlink?: boolean;
  readonly dirCopyContents?: boolean;
  readonly attemptUnpack?: boolean;
  readonly createDestPath?: boolean;
  readonly allowWildcard?: boolean;
  readonly allowEmptyWildcard?: boolean;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  readonly alwaysReplaceExistingDestPaths?: boolean;
  readonly requiredPaths?: readonly string[];
}

export interface MkfileAction extends FileActionBase {
  readonly action: 'mkfile';
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
  readonly owner?: Chown;
}

export interface MkdirAction extends FileActionBase {
  readonly action: 'mkdir';
  readonly path: string;
  readonly mode: number;
  readonly makeParents: boolean;
  readonly owner?: Chown;
  /** Time of what is made, ms since the epoch in whole seconds; the time of the run when left out. */
  readonly timestampMs?: number;
}

export interface RmAction extends FileActionBase {
  readonly action: 'rm';
  readonly path: string;
  readonly allowNotFound: boolean;
  readonly allowWildcard: boolean;
}

export type FileAction = CopyAction | MkfileAction | MkdirAction | RmAction;

export interface FileOp {
  readonly kind: 'file';
  readonly actions: readonly FileAction[];
  readonly platform?: Platform;
}

/** Lays the diffs of its inputs over each other; input -1 is the empty tree. */
export interface MergeOp {
  readonly kind: 'merge';
  readonly inputs: readonly number[];
}

/** What `upper` has that `lower` has not. */
export interface DiffOp {
  readonly kind: 'diff';
  readonly lower: number;
  readonly upper: number;
}

export type Op = SourceOp | ExecOp | FileOp | MergeOp | DiffOp;
