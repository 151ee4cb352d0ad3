// From the options and the files read to what the frontend is asked to convert.
import type { ConvertOptions } from '../frontend/convert-options.ts';
import { parseIgnoreFile } from '../frontend/dockerignore.ts';
import { normalizePlatform, parsePlatform } from '../frontend/platform.ts';
import { TsbuildError } from '../solver/errors.ts';
import type { Platform } from '../solver/op.ts';
import type { BuildOptions } from './cli/options.ts';
import type { LoadedDockerfile, LoadedIgnoreFile } from './context/load-dockerfile.ts';
import { type OpenedContext, openNamedContext } from './context/open-context.ts';
import { hostPlatform } from './sys/host-platform.ts';

export interface BuildInputs {
  readonly options: BuildOptions;
  /** Absolute path of the build context. */
  readonly context: string;
  readonly dockerfile: LoadedDockerfile;
  readonly ignoreFile: LoadedIgnoreFile | undefined;
  readonly namedContexts: ReadonlyMap<string, OpenedContext>;
  readonly convertOptions: ConvertOptions;
}

export interface ReadInputsOptions {
  readonly options: BuildOptions;
  readonly context: string;
  readonly dockerfile: LoadedDockerfile;
  readonly ignoreFile: LoadedIgnoreFile | undefined;
  readonly cwd: string;
}

/** Throws TSB_PLATFORM_…, TSB_DOCKERIGNORE_… and what named contexts can get wrong. */
export function readInputs({ options, context, dockerfile, ignoreFile, cwd }: ReadInputsOptions): BuildInputs {
  const namedContexts = new Map(
    Object.entries(options.buildContexts).map(([name, source]) => [name, openNamedContext(name, source, cwd)]),
  );
  const buildPlatform = hostPlatform();
  return {
    options,
    context,
    dockerfile,
    ignoreFile,
    namedContexts,
    convertOptions: {
      file: dockerfile.file,
      buildArgs: options.buildArgs,
      target: options.target,
      targetPlatform: readPlatform(options.platform, buildPlatform),
      buildPlatform,
      isTargetImplicit: options.platform === undefined,
      isMultiPlatform: false,
      labels: options.labels,
      noCache: options.noCache,
      noCacheStages: options.noCacheStages,
      namedContexts: Object.fromEntries([...namedContexts].map(([name, { context: named }]) => [name, named])),
      network: options.network,
      addHosts: options.addHosts,
      ulimits: options.ulimits,
      shmSizeBytes: options.shmSizeBytes,
      ignorePatterns: parseIgnoreFile(ignoreFile?.text ?? ''),
    },
  };
}

function readPlatform(text: string | undefined, local: Platform): Platform {
  if (text === undefined) return local;
  try {
    return normalizePlatform(parsePlatform(text, local));
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    throw new TsbuildError(error.code, error.message, { exitCode: 2, hint: 'use OS/ARCH such as linux/arm64' });
  }
}
