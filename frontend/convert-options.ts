// What a conversion is given besides the Dockerfile, and what it gives back.
import type { Definition } from '../solver/definition.ts';
import type { Digest } from '../solver/digest.ts';
import type { NetworkMode, Platform } from '../solver/op.ts';
import type { ImageConfig } from './image-config.ts';
import type { LintWarning } from './instruction.ts';
import type { RemoteBuildContext, RemoteContext } from './remote-context.ts';
import type { SourceFile } from './source-file.ts';
import type { SourcePolicy } from './source-policy.ts';

/** What stands behind a name given with `--build-context`. */
export type NamedContext =
  | { readonly kind: 'scratch' }
  /** A directory; the source op's identifier is `local://<name>`. */
  | { readonly kind: 'local'; readonly excludePatterns?: readonly string[] }
  /** `docker-image://` without that prefix, or `oci-layout://…` with it, as the image resolver takes it. */
  | { readonly kind: 'image'; readonly reference: string }
  /** A repository, or a directory with one fetched file. */
  | { readonly kind: 'remote'; readonly remote: RemoteContext }
  /** A stage of the same Dockerfile; its name in any case. */
  | { readonly kind: 'stage'; readonly stage: string };

/** All that a conversion depends on besides images: with the same ones it gives the same result. */
export interface ConvertOptions {
  readonly file: SourceFile;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Name of the stage to build; the last one when left out. */
  readonly target?: string | undefined;
  readonly targetPlatform: Platform;
  /** The machine's own, which RUN steps can run on. */
  readonly buildPlatform: Platform;
  /** True when the user did not ask for a platform: then a base image of another one decides. */
  readonly isTargetImplicit?: boolean;
  /** More than one platform is built: step names say which. */
  readonly isMultiPlatform: boolean;
  /** Added to the target's config; they win over LABEL. */
  readonly labels: Readonly<Record<string, string>>;
  readonly noCache: boolean;
  /** Steps that run even when cached: names of stages in any case, and lines such as `Dockerfile:14`. */
  readonly noCacheStages: readonly string[];
  /** By name, also `name::linux/arm64`. */
  readonly namedContexts: Readonly<Record<string, NamedContext>>;
  /** For RUN without `--network`. */
  readonly network: NetworkMode;
  readonly hostname?: string | undefined;
  readonly addHosts: readonly { readonly host: string; readonly ip: string }[];
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly shmSizeBytes?: number | undefined;
  readonly cgroupParent?: string | undefined;
  /** The build context is this, and no local directory. */
  readonly remoteContext?: RemoteBuildContext | undefined;
  /** What SOURCE_DATE_EPOCH=context means for an archive from standard input; a directory has no time of its own. */
  readonly contextEpochMs?: number | undefined;
  /** What they convert or deny is looked up or fetched otherwise, or not at all. */
  readonly policies?: readonly SourcePolicy[];
  /** Lines of the .dockerignore that applies. */
  readonly ignorePatterns?: readonly string[];
}

/** A directory of the user's that the definition reads, with the paths it needs. */
export interface ContextUse {
  /** `context` is the build context, others are named contexts. */
  readonly name: string;
  /** Relative, with wildcards, sorted; undefined when everything is needed. */
  readonly paths: readonly string[] | undefined;
}

/** One target for one platform: what to solve, and the config of the image that its head becomes. */
export interface Conversion {
  readonly definition: Definition;
  /** `rootfs.diff_ids` is empty; `history` has the base's entries first. */
  readonly config: ImageConfig;
  /** Layers of the base image, below all of ours. */
  readonly baseDiffIDs: readonly Digest[];
  /** How many entries of `config.history` are the base image's. */
  readonly baseHistoryLength: number;
  readonly warnings: readonly LintWarning[];
  readonly contexts: readonly ContextUse[];
  /** SOURCE_DATE_EPOCH in ms, when it is set. */
  readonly epochMs: number | undefined;
}
