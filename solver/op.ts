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

/**
 * Where a mount's files come from: an input, a secret, an agent's socket, a directory that outlives builds, or nowhere.
 */
export type MountType = 'bind' | 'secret' | 'ssh' | 'cache' | 'tmpfs';

/** What a second step finds while a cache mount is in use: the same directory, another one, or it waits. */
export type CacheSharing = 'shared' | 'private' | 'locked';

/** One mount of a RUN. `tmpfs`, `cache`, `secret` and `ssh` belong to the type of that name. */
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

/**
 * A secret as a file, or an agent as a socket, with its owner and permission bits inside. Optional: none is given where
 * there is none.
 */
export interface SecretOpt {
  readonly id: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly optional: boolean;
}

/** A secret as the value of variable `name`. Optional: the variable is not set where there is none. */
export interface SecretEnv {
  readonly id: string;
  readonly name: string;
  readonly optional: boolean;
}

/** The process of a RUN, as LLB's Meta. `user` is as the Dockerfile has it: it is looked up in the rootfs. */
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

/** A network of its own with a way out, the machine's, or none but loopback. */
export type NetworkMode = 'sandbox' | 'host' | 'none';

/** One RUN: a process over mounts, whose outputs are what it wrote into those that have an output number. */
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

/** Who is given what is made: without a user root, without a group the user's primary one. */
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

/** One source of COPY or ADD onto a tree; the flags are LLB's, with the meaning of fsutil's copy. */
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

/** A file with these bytes, replacing one that is there. `mode` are permission bits. */
export interface MkfileAction extends FileActionBase {
  readonly action: 'mkfile';
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
  readonly owner?: Chown;
}

/** A directory, left as it is where it is there. `mode` are permission bits. */
export interface MkdirAction extends FileActionBase {
  readonly action: 'mkdir';
  readonly path: string;
  readonly mode: number;
  readonly makeParents: boolean;
  readonly owner?: Chown;
  /** Time of what is made, ms since the epoch in whole seconds; the time of the run when left out. */
  readonly timestampMs?: number;
}

/** Takes away what is at the path, with all below it. */
export interface RmAction extends FileActionBase {
  readonly action: 'rm';
  readonly path: string;
  readonly allowNotFound: boolean;
  readonly allowWildcard: boolean;
}

/** What a file op does in one step; switched over by `action`. */
export type FileAction = CopyAction | MkfileAction | MkdirAction | RmAction;

/** COPY, ADD, WORKDIR and heredocs: actions in order, of which each may go on with what an earlier one made. */
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

/** Everything a vertex can be; switched over by `kind`. */
export type Op = SourceOp | ExecOp | FileOp | MergeOp | DiffOp;
