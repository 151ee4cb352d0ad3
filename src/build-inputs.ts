// From the options and the files read to what the frontend is asked to convert.
import { lstatSync } from 'node:fs';
import { buildArg } from '../frontend/args.ts';
import type { ConvertOptions } from '../frontend/convert-options.ts';
import { checkIgnoreFile, parseIgnoreFile } from '../frontend/dockerignore.ts';
import { frontendError } from '../frontend/frontend-syntax.ts';
import { parseGoBool } from '../frontend/go-text.ts';
import { formatPlatform, normalizePlatform, parsePlatform } from '../frontend/platform.ts';
import type { RemoteBuildContext } from '../frontend/remote-context.ts';
import type { SourcePolicy } from '../frontend/source-policy.ts';
import { TsbuildError } from '../solver/errors.ts';
import type { Platform } from '../solver/op.ts';
import type { BuildSources } from './build-sources.ts';
import type { BuildOptions } from './cli/options.ts';
import type { LoadedDockerfile, LoadedIgnoreFile } from './context/load-dockerfile.ts';
import { type OpenedContext, openNamedContext } from './context/open-context.ts';
import { hostPlatform } from './sys/host-platform.ts';
import { readNames, toFsPath } from './sys/path-bytes.ts';

/** All that a build is made from. */
export interface BuildInputs extends ReadFiles {
  readonly namedContexts: ReadonlyMap<string, OpenedContext>;
  /** For the first platform. */
  readonly convertOptions: ConvertOptions;
  /** Each once, in the order asked for. */
  readonly platforms: readonly Platform[];
}

interface ReadFiles {
  readonly options: BuildOptions;
  /** Absolute path of the build context, or its URL. */
  readonly context: string;
  /** The context was unpacked from an archive: its files keep their owners. */
  readonly isArchive: boolean;
  readonly dockerfile: LoadedDockerfile;
  readonly ignoreFile: LoadedIgnoreFile | undefined;
  readonly sources: BuildSources;
}

/** The options, the files read, and what is needed to make sense of them. */
export interface ReadInputsOptions extends ReadFiles {
  readonly cwd: string;
  readonly policies: readonly SourcePolicy[];
  /** Set when the context is behind a URL. */
  readonly remoteContext?: RemoteBuildContext;
}

/** Throws TSB_DOCKERFILE_FRONTEND, TSB_PLATFORM_…, TSB_DOCKERIGNORE_… and what named contexts can get wrong. */
export function readInputs({
  options,
  context,
  isArchive,
  dockerfile,
  ignoreFile,
  cwd,
  sources,
  policies,
  remoteContext,
}: ReadInputsOptions): BuildInputs {
  const wrongFrontend = frontendError(dockerfile.file, options.buildArgs);
  if (wrongFrontend !== undefined) throw wrongFrontend;
  if (ignoreFile !== undefined) checkIgnoreFile(ignoreFile);
  const namedContexts = new Map(
    Object.entries(options.buildContexts).map(([name, source]) => [name, openNamedContext(name, source, cwd)]),
  );
  const buildPlatform = hostPlatform();
  const platforms = readPlatforms(options.platforms, buildPlatform);
  return {
    platforms,
    options,
    context,
    isArchive,
    dockerfile,
    ignoreFile,
    namedContexts,
    sources,
    convertOptions: {
      file: dockerfile.file,
      buildArgs: options.buildArgs,
      target: options.target,
      targetPlatform: platforms[0] ?? buildPlatform,
      buildPlatform,
      isTargetImplicit: options.platforms.length === 0,
      isMultiPlatform: platforms.length > 1 || isMultiPlatformAsked(options),
      labels: options.labels,
      noCache: options.noCache,
      noCacheStages: options.noCacheStages,
      namedContexts: Object.fromEntries([...namedContexts].map(([name, { context: named }]) => [name, named])),
      network: options.network,
      addHosts: options.addHosts,
      ulimits: options.ulimits,
      shmSizeBytes: options.shmSizeBytes,
      policies,
      ...(remoteContext !== undefined && { remoteContext }),
      ...(isArchive && mentionsEpoch(dockerfile, options) && { contextEpochMs: newestTimeMs(context) }),
      ignorePatterns: parseIgnoreFile(ignoreFile?.text ?? ''),
    },
  };
}

function mentionsEpoch({ file }: LoadedDockerfile, { buildArgs }: BuildOptions): boolean {
  return Object.hasOwn(buildArgs, 'SOURCE_DATE_EPOCH') || file.text.includes('SOURCE_DATE_EPOCH');
}

/** The time of an archive's newest entry, in whole seconds; undefined for an empty one. */
function newestTimeMs(directory: string): number | undefined {
  let newest: number | undefined;
  const pending = [directory];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    for (const name of readNames(path)) {
      const entry = `${path}/${name}`;
      const stats = lstatSync(toFsPath(entry));
      newest = Math.max(newest ?? 0, Math.floor(stats.mtimeMs / 1000) * 1000);
      if (stats.isDirectory()) pending.push(entry);
    }
  }
  return newest;
}

/** An index is made for a single platform, too, when the build arg asks for it. */
function isMultiPlatformAsked({ buildArgs }: BuildOptions): boolean {
  return parseGoBool(buildArg(buildArgs, 'BUILDKIT_MULTI_PLATFORM') ?? '') === true;
}

function readPlatforms(texts: readonly string[], local: Platform): readonly Platform[] {
  const byText = new Map(texts.map((text) => readPlatform(text, local)).map((one) => [formatPlatform(one), one]));
  return byText.size === 0 ? [local] : [...byText.values()];
}

function readPlatform(text: string, local: Platform): Platform {
  try {
    return normalizePlatform(parsePlatform(text, local));
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    throw new TsbuildError(error.code, error.message, { exitCode: 2, hint: 'use OS/ARCH such as linux/arm64' });
  }
}
