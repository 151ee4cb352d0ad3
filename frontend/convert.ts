// From a parsed Dockerfile to the graph that builds it and the config of the image that comes out.

import { buildArg, proxyEnvironment } from './args.ts';
import { BaseImages } from './base-image.ts';
import { ContextPaths } from './context-paths.ts';
import { sortKeys } from './convert-metadata.ts';
import type { Conversion, ConvertOptions } from './convert-options.ts';
import type { BuildScope } from './convert-scope.ts';
import { finishDefinition } from './draft.ts';
import { ErrorCollector } from './error-collector.ts';
import type { ImageConfig } from './image-config.ts';
import type { ImageResolver } from './image-resolver.ts';
import type { LintWarning, ParsedDockerfile } from './instruction.ts';
import { Linter } from './lint.ts';
import { lintFrom } from './lint-from.ts';
import { lintError, parseLintOptions, selectWarnings } from './lint-options.ts';
import { lintFile } from './lint-text.ts';
import { buildContextTree } from './local-source.ts';
import { findNamedContext } from './named-context.ts';
import { normalizePlatform } from './platform.ts';
import { resolveSourceDateEpoch } from './source-date-epoch.ts';
import { StageConverter } from './stage-converter.ts';
import type { Stage, StagePlan } from './stages.ts';
import { findStage, planStages, sourceNames } from './stages.ts';

export interface ConvertPorts {
  readonly resolver: ImageResolver;
}

/**
 * Converts the stages that the target needs; only their images are looked up. Throws a TsbuildError, or TsbuildErrors
 * when several instructions are wrong, in the order of the file.
 */
export async function convertDockerfile(
  parsed: ParsedDockerfile,
  options: ConvertOptions,
  ports: ConvertPorts,
): Promise<Conversion> {
  const errors = new ErrorCollector();
  const plan = planStages(parsed, options, errors);
  errors.throwIfAny();
  const lint = new Linter(options.ignorePatterns ?? []);
  lintFrom(parsed, plan, options, lint);
  const build = createScope(parsed, options, plan, lint);
  const images = new BaseImages(ports.resolver, options);
  prefetchImages(plan, options, images);
  const converter = new StageConverter({ plan, build, images, errors });
  const { state, tree, needPath } = await converter.convert(plan.target);
  errors.throwIfAny();
  const warnings = selectedWarnings(parsed, lint, options);
  needPath('/');
  return {
    definition: finishDefinition(tree),
    config: finishConfig(state.image, options),
    baseDiffIDs: state.base.diffIDs,
    baseHistoryLength: state.base.historyLength,
    warnings,
    contexts: build.contextPaths.uses(),
    epochMs: build.epochMs,
  };
}

/** The warnings that are not switched off. Throws TSB_DOCKERFILE_LINT when they are to fail the build. */
function selectedWarnings(parsed: ParsedDockerfile, found: Linter, options: ConvertOptions): readonly LintWarning[] {
  const directive = parsed.directives.find(({ name }) => name === 'check');
  const check = parseLintOptions(buildArg(options.buildArgs, 'BUILDKIT_DOCKERFILE_CHECK') ?? directive?.value ?? '');
  const all = [...parsed.warnings, ...lintFile(parsed.instructions), ...found.warnings];
  const selected = selectWarnings(all, check, parsed.instructions);
  const error = lintError(selected, check);
  if (error !== undefined) throw error;
  return selected.toSorted((left, right) => left.range.start.line - right.range.start.line);
}

function createScope(parsed: ParsedDockerfile, options: ConvertOptions, plan: StagePlan, lint: Linter): BuildScope {
  const contextPaths = new ContextPaths();
  return {
    ...resolveSourceDateEpoch(options.buildArgs, plan.globalArgs),
    options,
    escape: parsed.escape,
    proxyEnv: proxyEnvironment(options.buildArgs),
    context: buildContextTree(contextPaths, options.ignorePatterns ?? []),
    contextPaths,
    lint,
  };
}

/** Begins every lookup that is known to be needed, so that registries are asked at the same time. */
function prefetchImages({ stages, target }: StagePlan, options: ConvertOptions, images: BaseImages): void {
  const reachable = new Set<Stage>();
  const prefetch = (name: string, platform = options.targetPlatform) => {
    if (findNamedContext(options.namedContexts, name, platform) === undefined) images.prefetch(name, platform);
  };
  const visit = (stage: Stage): void => {
    if (reachable.has(stage)) return;
    reachable.add(stage);
    if (stage.base.kind === 'context') return;
    if (stage.base.kind === 'stage') visit(stage.base.stage);
    if (stage.base.kind === 'image') prefetch(stage.base.name, stage.platform);
    for (const name of stage.instructions.flatMap(sourceNames)) {
      const source = findStage(stages, name);
      if (source !== undefined) visit(source);
      else if (name !== 'scratch') prefetch(name);
    }
  };
  visit(target);
}

/** Labels of the command line win, and the image says that it is for the platform that was asked for. */
function finishConfig(image: ImageConfig, options: ConvertOptions): ImageConfig {
  const labels = sortKeys({ ...image.config.Labels, ...options.labels });
  const config = Object.keys(labels).length === 0 ? image.config : { ...image.config, Labels: labels };
  const { variant, ...platform } = normalizePlatform(
    options.isTargetImplicit === true ? ownPlatform(image) : wantedPlatform(image, options),
  );
  const { variant: _old, ...rest } = image;
  return {
    ...rest,
    os: platform.os,
    architecture: platform.architecture,
    ...(variant !== undefined && { variant }),
    config,
  };
}

function ownPlatform({ os, architecture, variant }: ImageConfig) {
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

function wantedPlatform(image: ImageConfig, { targetPlatform }: ConvertOptions) {
  const { os, architecture, variant } = targetPlatform;
  const isSame = os === image.os && architecture === image.architecture;
  const kept = variant ?? (isSame ? image.variant : undefined);
  return { os, architecture, ...(kept !== undefined && { variant: kept }) };
}
