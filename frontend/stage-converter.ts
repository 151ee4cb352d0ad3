// Converts the stages a target needs, each once: its base, the triggers that fire, then its own instructions.
import type { SourceRange } from '../solver/errors.ts';
import type { Platform } from '../solver/op.ts';
import type { BaseImages } from './base-image.ts';
import type { BuildScope, SourceTree, StepScope } from './convert-scope.ts';
import { convertInstruction } from './convert-step.ts';
import type { ErrorCollector } from './error-collector.ts';
import type { ImageConfig } from './image-config.ts';
import { absolutePath } from './image-path.ts';
import type { Instruction } from './instruction.ts';
import { lintStage } from './lint-text.ts';
import { EMPTY_SOURCE, layerOfDirectory, type PlainContext, plainContextTree } from './local-source.ts';
import type { FoundContext } from './named-context.ts';
import { findNamedContext } from './named-context.ts';
import { type FindNoCache, readNoCache } from './no-cache.ts';
import { parseOnbuild } from './parse.ts';
import { replacedByPolicy } from './policed-source.ts';
import type { StageState } from './stage-state.ts';
import { EMPTY_BASE, emptyImage, openStage } from './stage-state.ts';
import type { Stage, StagePlan } from './stages.ts';
import { contextStage, findStage, sourceNames } from './stages.ts';
import { stepName } from './step-name.ts';

/** A stage from end to end. */
interface ConvertedStage extends SourceTree {
  readonly state: StageState;
}

interface StageConverterOptions {
  readonly plan: StagePlan;
  readonly build: BuildScope;
  readonly images: BaseImages;
  readonly errors: ErrorCollector;
}

/** Lives for one conversion. Errors of the user's go to the collector; a broken instruction leaves its stage as it was. */
export class StageConverter {
  readonly #plan: StagePlan;
  readonly #build: BuildScope;
  readonly #images: BaseImages;
  readonly #errors: ErrorCollector;
  readonly #stages = new Map<Stage, Promise<ConvertedStage>>();
  readonly #contexts = new Map<string, SourceTree>();
  readonly #findNoCache: FindNoCache;

  constructor({ plan, build, images, errors }: StageConverterOptions) {
    this.#plan = plan;
    this.#build = build;
    this.#images = images;
    this.#errors = errors;
    this.#findNoCache = readNoCache(build.options, plan.stages);
  }

  /** Begins to look an image up, for `convert` to find it there. */
  prefetch(name: string, platform: Platform): void {
    this.#images.prefetch(name, platform);
  }

  /** The stage after its last instruction. */
  convert(stage: Stage): Promise<ConvertedStage> {
    const known = this.#stages.get(stage);
    if (known !== undefined) return known;
    const converted = this.#convertStage(stage);
    this.#stages.set(stage, converted);
    return converted;
  }

  async #convertStage(stage: Stage): Promise<ConvertedStage> {
    const base = await this.#openBase(stage);
    if (stage.base.kind === 'context') return base;
    const triggers = this.#parseTriggers(base.state, stage);
    const instructions = [...triggers, ...stage.instructions];
    const sources = await this.#convertSources(stage, instructions);
    const common = {
      build: this.#build,
      stage,
      stepTotal: countSteps(stage) + triggers.length,
      source: (from: string) => sources.get(from),
    };
    let state = openStage(base.state);
    this.#lintStage(stage, state);
    for (const [index, instruction] of instructions.entries()) {
      const noCache = this.#findNoCache(stage, instruction);
      const scope: StepScope = { ...common, noCache, isOnbuild: index < triggers.length };
      const before = state;
      state = this.#errors.attempt(instruction.range, () => convertInstruction(before, instruction, scope)) ?? before;
    }
    return { state, tree: state.tree, needPath: base.needPath };
  }

  #lintStage({ instructions }: Stage, { image, hasWorkdir }: StageState): void {
    const hasShell = (image.config.Shell ?? []).length > 0;
    for (const warning of lintStage(instructions, { hasShell, hasWorkdir })) this.#build.lint.add(warning);
  }

  #parseTriggers({ image }: StageState, { from }: Stage): readonly Instruction[] {
    const triggers = image.config.OnBuild ?? [];
    return triggers.flatMap((trigger) => {
      const parsed = this.#errors.attempt(from.range, () => parseOnbuild(trigger, from.range, '\\'));
      return parsed === undefined ? [] : [parsed];
    });
  }

  async #openBase(stage: Stage): Promise<ConvertedStage> {
    const { base } = stage;
    switch (base.kind) {
      case 'scratch':
        return this.#emptyStage(EMPTY_SOURCE, this.#build.options.targetPlatform);
      case 'stage': {
        const { state, needPath } = await this.convert(base.stage);
        needPath('/');
        return { ...EMPTY_SOURCE, state: { ...state, steps: 0 }, tree: state.tree };
      }
      case 'context':
        return this.#openContext(base, stage);
      case 'image':
        return this.#openImage(base.name, stage);
      default:
        return base;
    }
  }

  #openImage(name: string, stage: Stage): Promise<ConvertedStage> {
    const platform = stage.platform ?? this.#build.options.targetPlatform;
    const { options } = this.#build;
    const found = findNamedContext(options.namedContexts, name, platform) ?? replacedByPolicy(name, options);
    if (found !== undefined) return this.#openReplacedImage(found, stage);
    const fromStep = (reference: string) => this.#fromName(stage, reference, platform);
    return this.#openResolved({ name, lookUp: name, stage, nameTree: fromStep, stepsTaken: 1 });
  }

  async #openReplacedImage(found: FoundContext, stage: Stage): Promise<ConvertedStage> {
    const opened = await this.#openContext(found, stage);
    // A RUN may look at any of it, so a directory that is built upon is needed whole.
    opened.needPath('/');
    return opened;
  }

  async #openContext({ name, context }: FoundContext, stage: Stage): Promise<ConvertedStage> {
    const platform = stage.platform ?? this.#build.options.targetPlatform;
    if (context.kind === 'image') {
      const other = replacedByPolicy(context.reference, this.#build.options);
      if (other !== undefined) return await this.#openContext(other, stage);
      const nameTree = (reference: string) => `[context ${name}] ${reference}`;
      return this.#openResolved({ name, lookUp: context.reference, stage, nameTree, stepsTaken: 0 });
    }
    if (context.kind === 'stage') {
      const wanted = this.#errors.attempt(stage.from.range, () => contextStage(this.#plan.stages, context.stage));
      if (wanted === undefined) return this.#emptyStage(EMPTY_SOURCE, platform);
      const { state, ...tree } = await this.convert(wanted);
      return { state: { ...state, steps: 0 }, ...tree };
    }
    const source = this.#contextTree(name, context);
    if (context.kind !== 'local') return this.#emptyStage(source, platform);
    return { ...this.#emptyStage({ ...source, tree: layerOfDirectory(name, source.tree) }, platform), ...source };
  }

  async #openResolved(options: {
    readonly name: string;
    readonly lookUp: string;
    readonly stage: Stage;
    readonly nameTree: (reference: string) => string;
    readonly stepsTaken: number;
  }): Promise<ConvertedStage> {
    const { stage, nameTree } = options;
    const { range } = stage.from;
    const target = this.#build.options.targetPlatform;
    const image = await this.#resolve(options.lookUp, stage.platform ?? target, range, stage.platform !== undefined);
    if (image === undefined) return this.#emptyStage(EMPTY_SOURCE, target);
    const { resolved, platform } = image;
    this.#build.lint.basePlatform(options.name, platform, imagePlatform(resolved.config), stage.from);
    const tree = image.createTree(nameTree(resolved.reference));
    const steps = tree === undefined ? 0 : options.stepsTaken;
    const state = { ...startState(tree, platform, baseConfig(resolved.config)), steps };
    const base = { diffIDs: resolved.config.rootfs.diff_ids, historyLength: resolved.config.history.length };
    return { ...EMPTY_SOURCE, state: { ...state, base }, tree };
  }

  async #convertSources(stage: Stage, instructions: readonly Instruction[]): Promise<ReadonlyMap<string, SourceTree>> {
    const ranges = new Map<string, SourceRange>();
    for (const instruction of instructions) {
      for (const name of sourceNames(instruction)) if (!ranges.has(name)) ranges.set(name, instruction.range);
    }
    const entries = Array.from(
      ranges,
      async ([name, range]) => [name, await this.#convertSource(name, stage, range)] as const,
    );
    const sources = await Promise.all(entries);
    return new Map(sources.flatMap(([name, source]) => (source === undefined ? [] : [[name, source]])));
  }

  async #convertSource(name: string, stage: Stage, range: SourceRange): Promise<SourceTree | undefined> {
    const found = this.#errors.attempt(range, () => ({ stage: findStage(this.#plan.stages, name) }));
    if (found === undefined) return EMPTY_SOURCE;
    if (found.stage !== undefined) return found.stage.index < stage.index ? this.convert(found.stage) : undefined;
    if (name === 'scratch') return EMPTY_SOURCE;
    const { options } = this.#build;
    const { targetPlatform, namedContexts } = options;
    const context = findNamedContext(namedContexts, name, targetPlatform) ?? replacedByPolicy(name, options);
    if (context !== undefined) return this.#convertContextSource(context, range);
    const image = await this.#resolve(name, targetPlatform, range, false);
    return image === undefined
      ? EMPTY_SOURCE
      : { ...EMPTY_SOURCE, tree: image.createTree(`FROM ${image.resolved.reference}`) };
  }

  async #convertContextSource({ name, context }: FoundContext, range: SourceRange): Promise<SourceTree> {
    if (context.kind === 'stage') {
      const wanted = this.#errors.attempt(range, () => contextStage(this.#plan.stages, context.stage));
      return wanted === undefined ? EMPTY_SOURCE : this.convert(wanted);
    }
    if (context.kind !== 'image') return this.#contextTree(name, context);
    const other = replacedByPolicy(context.reference, this.#build.options);
    if (other !== undefined) return await this.#convertContextSource(other, range);
    const image = await this.#resolve(context.reference, this.#build.options.targetPlatform, range, false);
    if (image === undefined) return EMPTY_SOURCE;
    return { ...EMPTY_SOURCE, tree: image.createTree(`[context ${name}] ${image.resolved.reference}`) };
  }

  async #resolve(name: string, platform: Platform, range: SourceRange, isPlatformFixed: boolean) {
    const stageNames = this.#plan.stages.flatMap((stage) => stage.name ?? []);
    try {
      return await this.#images.resolve({ name, platform, isPlatformFixed, range, stageNames });
    } catch (error) {
      this.#errors.note(error, range);
      return undefined;
    }
  }

  #contextTree(name: string, context: PlainContext): SourceTree {
    const known = this.#contexts.get(name);
    if (known !== undefined) return known;
    const tree = plainContextTree(name, context, this.#build.contextPaths);
    this.#contexts.set(name, tree);
    return tree;
  }

  #emptyStage({ tree, needPath }: SourceTree, platform: Platform): ConvertedStage {
    return { state: startState(tree, platform, emptyImage(platform)), tree, needPath };
  }

  #fromName(stage: Stage, reference: string, platform: Platform): string {
    return stepName(`FROM ${reference}`, {
      stageName: stage.displayName,
      step: 1,
      total: countSteps(stage),
      isOnbuild: false,
      platform: this.#build.options.isMultiPlatform ? platform : undefined,
      variables: new Map(),
    });
  }
}

/** FROM an image counts, then whatever makes a layer. */
function countSteps({ base, instructions }: Stage): number {
  const steps = instructions.filter(
    ({ kind }) => kind === 'RUN' || kind === 'COPY' || kind === 'ADD' || kind === 'WORKDIR',
  );
  return steps.length + (base.kind === 'image' ? 1 : 0);
}

function startState(tree: SourceTree['tree'], platform: Platform, image: ImageConfig): StageState {
  return {
    tree,
    platform,
    image,
    variables: new Map(),
    args: [],
    steps: 0,
    base: EMPTY_BASE,
    hasCommand: false,
    hasWorkdir: false,
  };
}

/** What a child inherits: everything but the layers and the time. */
function baseConfig({ created: _created, ...image }: ImageConfig): ImageConfig {
  const { WorkingDir: workdir } = image.config;
  const config = workdir ? { ...image.config, WorkingDir: absolutePath('/', workdir) } : image.config;
  return { ...image, config, rootfs: { type: 'layers', diff_ids: [] } };
}

function imagePlatform(config: ImageConfig): Platform {
  return {
    os: config.os,
    architecture: config.architecture,
    ...(config.variant !== undefined && { variant: config.variant }),
  };
}
