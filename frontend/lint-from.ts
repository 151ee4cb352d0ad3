// The build checks of a file as a whole: casing, stage names, and what FROM lines expand.

import { TsbuildError } from '../solver/errors.ts';
import { automaticArgs } from './args.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { ArgInstruction, Instruction, ParsedDockerfile } from './instruction.ts';
import type { Linter } from './lint.ts';
import { parsePlatform } from './platform.ts';
import { parseReference } from './reference.ts';
import type { ExpandedWord } from './shell-words.ts';
import { expandWord } from './shell-words.ts';
import type { Stage, StagePlan } from './stages.ts';
import { evaluateGlobalArgs } from './stages.ts';
import { suggest } from './suggest.ts';

const RESERVED_NAMES: ReadonlySet<string> = new Set(['scratch', 'context']);

/** Notes the warnings that need no image and no stage's variables. */
export function lintFile(parsed: ParsedDockerfile, plan: StagePlan, options: ConvertOptions, lint: Linter): void {
  for (const instruction of parsed.instructions) lintKeyword(instruction, lint);
  lintCasing(plan.stages, lint);
  lintStageNames(plan.stages, lint);
  const globals = globalArgs(parsed);
  for (const stage of plan.stages) lintFromArgs(stage, globals, parsed, plan, options, lint);
  lintDefaultBases(parsed, globals, plan, options, lint);
}

function globalArgs({ instructions }: ParsedDockerfile): readonly ArgInstruction[] {
  const firstFrom = instructions.findIndex(({ kind }) => kind === 'FROM');
  return instructions.slice(0, firstFrom).filter((instruction) => instruction.kind === 'ARG');
}

function lintKeyword(instruction: Instruction, lint: Linter): void {
  if (instruction.kind === 'MAINTAINER') {
    lint.warn('MaintainerDeprecated', 'Maintainer instruction is deprecated in favor of using label', instruction);
  }
  if (instruction.kind !== 'FROM') return;
  const { nameAsWritten = '', asKeyword, keyword } = instruction;
  if (nameAsWritten !== nameAsWritten.toLowerCase()) {
    lint.warn('StageNameCasing', `Stage name '${nameAsWritten}' should be lowercase`, instruction);
  }
  if (asKeyword !== undefined && !hasCaseOf(keyword, asKeyword)) {
    const detail = `'${asKeyword}' and '${keyword}' keywords' casing do not match`;
    lint.warn('FromAsCasing', detail, instruction);
  }
}

/** A keyword of mixed case says nothing about the other. */
function hasCaseOf(keyword: string, other: string): boolean {
  if (keyword === keyword.toLowerCase()) return other === other.toLowerCase();
  return keyword !== keyword.toUpperCase() || other === other.toUpperCase();
}

function lintCasing(stages: readonly Stage[], lint: Linter): void {
  const instructions = stages.flatMap(({ from, instructions }) => [from, ...instructions]);
  const lower = instructions.filter(({ keyword }) => keyword === keyword.toLowerCase()).length;
  const upper = instructions.filter(({ keyword }) => keyword === keyword.toUpperCase()).length;
  const isLower = lower > upper;
  for (const instruction of instructions) {
    const { keyword } = instruction;
    if (keyword === (isLower ? keyword.toLowerCase() : keyword.toUpperCase())) continue;
    const casing = isLower ? 'lowercase' : 'uppercase';
    const detail = `Command '${keyword}' should match the case of the command majority (${casing})`;
    lint.warn('ConsistentInstructionCasing', detail, instruction);
  }
}

function lintStageNames(stages: readonly Stage[], lint: Linter): void {
  const seen = new Set<string>();
  for (const { name, from } of stages) {
    if (name === undefined) continue;
    if (RESERVED_NAMES.has(name)) {
      const detail = `Stage name should not use the same name as reserved stage "${name}"`;
      lint.warn('ReservedStageName', detail, from);
    }
    if (seen.has(name))
      lint.warn('DuplicateStageName', `Duplicate stage name "${name}", stage names should be unique`, from);
    seen.add(name);
  }
}

function lintFromArgs(
  { from, name }: Stage,
  globals: readonly ArgInstruction[],
  parsed: ParsedDockerfile,
  plan: StagePlan,
  options: ConvertOptions,
  lint: Linter,
): void {
  const declared = new Set([...plan.globalArgs.keys(), ...globals.flatMap(({ args }) => args.map(({ key }) => key))]);
  const image = expandWord(from.image, plan.globalArgs, { escape: parsed.escape });
  const platform =
    from.platform === undefined ? undefined : expandWord(from.platform, plan.globalArgs, { escape: parsed.escape });
  for (const arg of new Set([...image.unmatched, ...(platform?.unmatched ?? [])])) {
    if (declared.has(arg)) continue;
    const nearest = suggest(arg, declared);
    const guess = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
    lint.warn('UndefinedArgInFrom', `FROM argument '${arg}' is not declared${guess}`, from);
  }
  if (platform === undefined) return;
  if (isTargetPlatform(platform, plan)) {
    const detail = `Setting platform to predefined ${from.platform} in FROM is redundant as this is the default behavior`;
    lint.warn('RedundantTargetPlatform', detail, from);
  }
  if (isConstantPlatform(platform, name ?? '', options)) {
    const detail = `FROM --platform flag should not use constant value "${platform.value}"`;
    lint.warn('FromPlatformFlagConstDisallowed', detail, from);
  }
}

function isTargetPlatform({ value, used, unmatched }: ExpandedWord, { globalArgs: args }: StagePlan): boolean {
  const isAlone = used.size === 1 && unmatched.size === 0;
  return isAlone && used.has('TARGETPLATFORM') && value === args.get('TARGETPLATFORM');
}

/** A stage whose name says the platform means it. */
function isConstantPlatform({ value, used, unmatched }: ExpandedWord, name: string, options: ConvertOptions): boolean {
  if (used.size > 0 || unmatched.size > 0) return false;
  const { os, architecture } = parsePlatform(value, options.buildPlatform);
  return !name.includes(os) && !name.includes(architecture);
}

/** Each base must be an image name without any build arg, too. */
function lintDefaultBases(
  parsed: ParsedDockerfile,
  globals: readonly ArgInstruction[],
  plan: StagePlan,
  options: ConvertOptions,
  lint: Linter,
): void {
  const targetStage = plan.target.name;
  try {
    const defaults = evaluateGlobalArgs(globals, automaticArgs({ ...options, targetStage }), {}, parsed.escape);
    for (const { from } of plan.stages) {
      const { value } = expandWord(from.image, defaults, { escape: parsed.escape });
      if (isImageName(value)) continue;
      const detail = `Default value for ARG ${from.image} results in empty or invalid base image name`;
      lint.warn('InvalidDefaultArgInFrom', detail, from);
    }
  } catch (error) {
    // A default that cannot be expanded is the build's error, if it is one, and no warning.
    if (!(error instanceof TsbuildError)) throw error;
  }
}

function isImageName(name: string): boolean {
  try {
    parseReference(name);
    return true;
  } catch (error) {
    if (error instanceof TsbuildError) return false;
    throw error;
  }
}
