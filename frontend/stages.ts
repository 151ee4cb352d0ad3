// A parsed Dockerfile as stages: what each is built from, and which other stages it copies or mounts from.
// Everything here is known without looking at an image; what a base image's ONBUILD adds comes later.

import type { SourceRange } from '../solver/errors.ts';
import { TsbuildError } from '../solver/errors.ts';
import type { Platform } from '../solver/op.ts';
import type { Variables } from './args.ts';
import { automaticArgs, buildArg, setVariable } from './args.ts';
import type { ConvertOptions, NamedContext } from './convert-options.ts';
import type { ErrorCollector } from './error-collector.ts';
import { atRange } from './errors.ts';
import type { ArgInstruction, FromInstruction, Instruction, ParsedDockerfile } from './instruction.ts';
import { mountSources } from './mount-source.ts';
import { findNamedContext } from './named-context.ts';
import { parsePlatform } from './platform.ts';
import { parseReference } from './reference.ts';
import { expandWord } from './shell-words.ts';
import { checkCycles, type StageUse } from './stage-cycles.ts';
import { didYouMean } from './suggest.ts';

/** What a stage starts from. */
type StageBase =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly stage: Stage }
  | { readonly kind: 'image'; readonly name: string }
  /** The stage's own name is that of a named context, which replaces the whole stage. */
  | { readonly kind: 'context'; readonly name: string; readonly context: NamedContext };

/** One FROM and what follows it, up to the next; what its base image triggers (ONBUILD) is not among it. */
export interface Stage {
  readonly index: number;
  /** Lower-cased; undefined without AS. */
  readonly name: string | undefined;
  /** As progress shows it: its name, `stage-<index>`, or nothing when it is the only one. */
  readonly displayName: string;
  readonly from: FromInstruction;
  readonly base: StageBase;
  /** From `--platform`. */
  readonly platform: Platform | undefined;
  /** Without FROM. */
  readonly instructions: readonly Instruction[];
}

/** All stages in the order of the file; the target is one of them. */
export interface StagePlan {
  readonly stages: readonly Stage[];
  readonly target: Stage;
  /** The automatic args and every ARG before the first FROM. */
  readonly globalArgs: Variables;
}

const SCRATCH = 'scratch';

/** All stages in order, and the one to build. What is wrong with a stage goes to `errors`; throws when there is no target. */
export function planStages(parsed: ParsedDockerfile, options: ConvertOptions, errors: ErrorCollector): StagePlan {
  const { globals, sections } = splitSections(parsed);
  const lastName = sections.at(-1)?.from.name;
  const automatic = automaticArgs({ ...options, targetStage: options.target ?? lastName });
  const globalArgs = evaluateGlobalArgs(globals, automatic, options.buildArgs, parsed.escape);
  const isOnly = sections.length === 1 && !sections.some(({ instructions }) => instructions.some(hasForeignSource));
  const stages: Stage[] = [];
  for (const section of sections) {
    const base = { stages, globalArgs, escape: parsed.escape, options, isOnly };
    stages.push(errors.attempt(section.from.range, () => createStage(section, base)) ?? brokenStage(section, stages));
  }
  const target = findTarget(stages, options.target);
  checkSources(stages, options, errors);
  return { stages, target, globalArgs };
}

/** The stage that `--from` names: by name in any case (the last of that name), or by number. Throws for a number out of range. */
export function findStage(stages: readonly Stage[], from: string): Stage | undefined {
  if (/^[+-]?[0-9]+$/.test(from)) {
    const stage = stages[Number(from)];
    if (stage !== undefined) return stage;
    throw new TsbuildError('TSB_DOCKERFILE_STAGE_INDEX', `invalid stage index ${Number(from)}`, {
      hint: stages.length === 1 ? 'the only stage is number 0' : `stages are numbered from 0 to ${stages.length - 1}`,
    });
  }
  return findStageByName(stages, from);
}

/** The stage that a named context stands for. Throws TSB_DOCKERFILE_TARGET_UNKNOWN. */
export function contextStage(stages: readonly Stage[], name: string): Stage {
  return findTarget(stages, name);
}

/** The names an instruction copies or mounts from, as written: stages, images or named contexts. */
export function sourceNames(instruction: Instruction): readonly string[] {
  if (instruction.kind === 'COPY') return instruction.from === undefined ? [] : [instruction.from];
  if (instruction.kind !== 'RUN') return [];
  return mountSources(instruction);
}

interface Section {
  readonly from: FromInstruction;
  readonly instructions: readonly Instruction[];
}

interface PlanScope {
  readonly stages: readonly Stage[];
  readonly globalArgs: Variables;
  readonly escape: '\\' | '`';
  readonly options: ConvertOptions;
  readonly isOnly: boolean;
}

function splitSections(parsed: ParsedDockerfile): {
  readonly globals: readonly ArgInstruction[];
  readonly sections: readonly Section[];
} {
  const globals: ArgInstruction[] = [];
  const sections: { from: FromInstruction; instructions: Instruction[] }[] = [];
  for (const instruction of parsed.instructions) {
    const section = sections.at(-1);
    if (instruction.kind === 'FROM') sections.push({ from: instruction, instructions: [] });
    else if (section !== undefined) section.instructions.push(instruction);
    else if (instruction.kind === 'ARG') globals.push(instruction);
    else throw noStage(instruction.range);
  }
  if (sections.length > 0) return { globals, sections };
  throw new TsbuildError('TSB_DOCKERFILE_NO_STAGE', 'dockerfile contains no stages to build', {
    hint: 'begin the stage with a FROM instruction',
  });
}

function noStage(range: SourceRange): TsbuildError {
  return new TsbuildError('TSB_DOCKERFILE_NO_STAGE', 'no build stage in current context', {
    range,
    hint: 'only ARG may come before the first FROM',
  });
}

/** The global args in order; a default is not looked at when the build arg is given. */
export function evaluateGlobalArgs(
  globals: readonly ArgInstruction[],
  automatic: Variables,
  buildArgs: Readonly<Record<string, string>>,
  escapeCharacter: '\\' | '`',
): Variables {
  let variables = automatic;
  for (const instruction of globals) {
    for (const { key, value } of instruction.args) {
      const given = buildArg(buildArgs, key);
      const known =
        given ?? (value === undefined ? undefined : expandAt(value, variables, escapeCharacter, instruction.range));
      if (known !== undefined) variables = setVariable(variables, key, known);
    }
  }
  return variables;
}

function expandAt(text: string, variables: Variables, escapeCharacter: '\\' | '`', range: SourceRange): string {
  return atRange(range, () => expandWord(text, variables, { escape: escapeCharacter }).value);
}

function createStage(section: Section, scope: PlanScope): Stage {
  const { from, instructions } = section;
  const image = expandAt(from.image, scope.globalArgs, scope.escape, from.range);
  if (image === '') {
    throw new TsbuildError('TSB_DOCKERFILE_BASE_BLANK', `base name (${from.image}) should not be blank`, {
      hint: 'give the ARG a default before the first FROM, or pass it with --build-arg',
    });
  }
  const platform = from.platform === undefined ? undefined : stagePlatform(from.platform, scope, from.range);
  const base = stageBase(image, from.name, platform, scope);
  if (base.kind === 'image') checkImageName(base.name, findStageByName(scope.stages, base.name));
  const index = scope.stages.length;
  const displayName = scope.isOnly ? '' : (from.name ?? `stage-${index}`);
  return { index, name: from.name, displayName, from, base, platform, instructions };
}

/** Stands in for a stage whose FROM is wrong, so that what follows can still be looked at. */
function brokenStage({ from, instructions }: Section, stages: readonly Stage[]): Stage {
  const index = stages.length;
  const displayName = from.name ?? `stage-${index}`;
  return { index, name: from.name, displayName, from, base: { kind: 'scratch' }, platform: undefined, instructions };
}

function stagePlatform(expression: string, scope: PlanScope, range: SourceRange): Platform {
  const text = expandAt(expression, scope.globalArgs, scope.escape, range);
  if (text === '') {
    throw new TsbuildError('TSB_DOCKERFILE_PLATFORM_EMPTY', `empty platform value from expression ${expression}`);
  }
  try {
    return parsePlatform(text, scope.options.buildPlatform);
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    throw new TsbuildError(error.code, `failed to parse platform ${expression}: ${error.message}`, {
      cause: error,
      ...(error.hint !== undefined && { hint: error.hint }),
    });
  }
}

function stageBase(
  image: string,
  name: string | undefined,
  platform: Platform | undefined,
  { stages, options }: PlanScope,
): StageBase {
  const wanted = platform ?? options.targetPlatform;
  const context = name === undefined ? undefined : findNamedContext(options.namedContexts, name, wanted);
  if (context !== undefined) return { kind: 'context', ...context };
  const stage = stages.findLast((earlier) => earlier.name === image);
  if (stage !== undefined) return { kind: 'stage', stage };
  return image === SCRATCH ? { kind: 'scratch' } : { kind: 'image', name: image };
}

/** Throws BuildKit's text for a FROM or --from that is neither a stage nor an image name. */
function checkImageName(name: string, similar?: Stage): void {
  try {
    parseReference(name);
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    throw new TsbuildError('TSB_DOCKERFILE_STAGE_NAME', `failed to parse stage name "${name}": ${error.message}`, {
      cause: error,
      hint:
        similar === undefined
          ? 'no stage has this name, and it is not an image name either'
          : `stage names are lower-case: write FROM ${similar.name}`,
    });
  }
}

function findStageByName(stages: readonly Stage[], name: string): Stage | undefined {
  const lower = name.toLowerCase();
  return stages.findLast((stage) => stage.name === lower);
}

function findTarget(stages: readonly Stage[], target: string | undefined): Stage {
  const stage = target === undefined || target === '' ? stages.at(-1) : findStageByName(stages, target);
  if (stage !== undefined) return stage;
  const names = stages.flatMap(({ name }) => name ?? []);
  throw new TsbuildError(
    'TSB_DOCKERFILE_TARGET_UNKNOWN',
    didYouMean(`target stage "${target}" could not be found`, target ?? '', names),
    {
      hint: names.length === 0 ? 'no stage has a name: give it one with FROM … AS name' : `stages: ${names.join(', ')}`,
    },
  );
}

/** True for what BuildKit counts as one more stage when it decides whether the only stage needs a name in progress. */
function hasForeignSource(instruction: Instruction): boolean {
  if (instruction.kind === 'RUN') return instruction.mounts.length > 0;
  return instruction.kind === 'COPY' && instruction.from !== undefined && !/^[0-9]+$/.test(instruction.from);
}

function checkSources(stages: readonly Stage[], options: ConvertOptions, errors: ErrorCollector): void {
  const sourcesByStage = stages.map((stage) => [
    ...baseUses(stage, stages, options),
    ...stage.instructions.flatMap((instruction) =>
      sourceNames(instruction).flatMap((name) => {
        const checked = errors.attempt(instruction.range, () => checkSource(stages, name));
        const source = checked ?? replacingStage(stages, name, options);
        return source === undefined ? [] : [{ stage: source, range: instruction.range }];
      }),
    ),
  ]);
  checkCycles(stages, sourcesByStage, errors);
}

/** The stage that a FROM leads to; where no context stands for a stage, it only looks back and makes no ring. */
function baseUses({ base, from }: Stage, stages: readonly Stage[], options: ConvertOptions): readonly StageUse[] {
  if (!Object.values(options.namedContexts).some(({ kind }) => kind === 'stage')) return [];
  const { range } = from;
  if (base.kind === 'stage') return [{ stage: base.stage, range }];
  if (base.kind === 'scratch') return [];
  const stage = replacingStage(stages, base.name, options);
  return stage === undefined ? [] : [{ stage, range }];
}

/** The stage that a named context puts in place of an image or stage of that name. */
function replacingStage(stages: readonly Stage[], name: string, options: ConvertOptions): Stage | undefined {
  const context = findNamedContext(options.namedContexts, name, options.targetPlatform)?.context;
  return context?.kind === 'stage' ? findStageByName(stages, context.stage) : undefined;
}

function checkSource(stages: readonly Stage[], name: string): Stage | undefined {
  const stage = findStage(stages, name);
  if (stage === undefined && name !== SCRATCH) checkImageName(name);
  return stage;
}
