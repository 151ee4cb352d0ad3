// The build checks of what FROM lines expand.

import { TsbuildError } from '../solver/errors.ts';
import { automaticArgs } from './args.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { ArgInstruction, ParsedDockerfile } from './instruction.ts';
import type { Linter } from './lint.ts';
import { parseReference } from './reference.ts';
import { expandWord } from './shell-words.ts';
import type { Stage, StagePlan } from './stages.ts';
import { evaluateGlobalArgs } from './stages.ts';
import { suggest } from './suggest.ts';

/** Notes what is wrong with the arguments of FROM lines. */
export function lintFrom(parsed: ParsedDockerfile, plan: StagePlan, options: ConvertOptions, lint: Linter): void {
  const globals = globalArgs(parsed);
  for (const stage of plan.stages) lintFromArgs(stage, globals, parsed, plan, lint);
  lintDefaultBases(parsed, globals, plan, options, lint);
}

function globalArgs({ instructions }: ParsedDockerfile): readonly ArgInstruction[] {
  const firstFrom = instructions.findIndex(({ kind }) => kind === 'FROM');
  return instructions.slice(0, firstFrom).filter((instruction) => instruction.kind === 'ARG');
}

function lintFromArgs(
  { from }: Stage,
  globals: readonly ArgInstruction[],
  parsed: ParsedDockerfile,
  plan: StagePlan,
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
