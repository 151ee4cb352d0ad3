// What converting and checking a Dockerfile have in common: the plan, the linter, the converter, and which warnings count.

import type { TsbuildError } from '../solver/errors.ts';
import type { Platform } from '../solver/op.ts';
import { buildArg, proxyEnvironment } from './args.ts';
import { BaseImages } from './base-image.ts';
import { ContextPaths } from './context-paths.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { BuildScope } from './convert-scope.ts';
import { ErrorCollector } from './error-collector.ts';
import type { ImageResolver } from './image-resolver.ts';
import type { LintWarning, ParsedDockerfile } from './instruction.ts';
import type { Linter } from './lint.ts';
import { lintFrom } from './lint-from.ts';
import { lintError, parseLintOptions, selectWarnings } from './lint-options.ts';
import { lintFile } from './lint-text.ts';
import { buildContextTree } from './local-source.ts';
import { findNamedContext } from './named-context.ts';
import { remoteContextTree } from './remote-context.ts';
import { resolveSourceDateEpoch, type SourceDateEpoch, type SourceTime } from './source-date-epoch.ts';
import { StageConverter } from './stage-converter.ts';
import type { Stage, StagePlan } from './stages.ts';
import { findStage, planStages, sourceNames } from './stages.ts';

/** How a conversion asks about what is not in the Dockerfile. */
export interface ConvertPorts {
  readonly resolver: ImageResolver;
  /** For a SOURCE_DATE_EPOCH that is the time of something remote. */
  readonly timeOf?: SourceTime;
  /** Called once, with the warnings that are not switched off; a conversion that fails has called it with those found until then. */
  readonly onWarnings?: (warnings: readonly LintWarning[]) => void;
}

/** What a conversion is opened with. */
export interface ConversionPorts {
  readonly resolver: ImageResolver;
  /** Holds what has been found, also when the conversion fails. */
  readonly lint: Linter;
  readonly timeOf?: SourceTime | undefined;
}

interface OpenConversion {
  readonly plan: StagePlan;
  readonly build: BuildScope;
  readonly converter: StageConverter;
  readonly errors: ErrorCollector;
}

/** Everything up to the first image looked up. Throws what is wrong with the stages. */
export async function openConversion(
  parsed: ParsedDockerfile,
  options: ConvertOptions,
  { resolver, lint, timeOf }: ConversionPorts,
): Promise<OpenConversion> {
  const errors = new ErrorCollector();
  lintFrom(parsed, options, lint);
  const plan = planStages(parsed, options, errors);
  errors.throwIfAny();
  const epoch = await resolveSourceDateEpoch({ plan, options, escapeCharacter: parsed.escape, timeOf });
  const build = createScope(parsed, options, epoch, lint);
  const converter = new StageConverter({ plan, build, images: new BaseImages(resolver, options), errors });
  return { plan, build, converter, errors };
}

interface SelectedWarnings {
  /** In the order of the file. */
  readonly warnings: readonly LintWarning[];
  /** TSB_DOCKERFILE_LINT when they are to fail the build. */
  readonly error: TsbuildError | undefined;
}

/** The warnings that are not switched off; `found` are those of the conversion. Throws TSB_DOCKERFILE_CHECK_OPTION. */
export function selectedWarnings(
  parsed: ParsedDockerfile,
  found: Pick<Linter, 'warnings'>,
  options: Pick<ConvertOptions, 'buildArgs'>,
): SelectedWarnings {
  const directive = parsed.directives.find(({ name }) => name === 'check');
  const check = parseLintOptions(buildArg(options.buildArgs, 'BUILDKIT_DOCKERFILE_CHECK') ?? directive?.value ?? '');
  const all = [...parsed.warnings, ...lintFile(parsed.instructions), ...found.warnings];
  const selected = selectWarnings(all, check, parsed.instructions);
  return {
    warnings: selected.toSorted((left, right) => left.range.start.line - right.range.start.line),
    error: lintError(selected, check),
  };
}

function createScope(
  parsed: ParsedDockerfile,
  options: ConvertOptions,
  epoch: SourceDateEpoch,
  lint: Linter,
): BuildScope {
  const contextPaths = new ContextPaths();
  return {
    ...epoch,
    options,
    escape: parsed.escape,
    proxyEnv: proxyEnvironment(options.buildArgs),
    context:
      options.remoteContext === undefined
        ? buildContextTree(contextPaths, options.ignorePatterns ?? [])
        : remoteContextTree(options.remoteContext),
    contextPaths,
    lint,
  };
}

/** Begins every lookup that is known to be needed, so that registries are asked at the same time. */
export function prefetchImages(
  { stages, target }: StagePlan,
  options: ConvertOptions,
  begin: (name: string, platform: Platform) => void,
): void {
  const reachable = new Set<Stage>();
  const prefetch = (name: string, platform = options.targetPlatform) => {
    if (findNamedContext(options.namedContexts, name, platform) === undefined) begin(name, platform);
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
