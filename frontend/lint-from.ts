// The build checks of what FROM lines expand.

import { TsbuildError } from '../solver/errors.ts';
import { automaticArgs, type Variables } from './args.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { ArgInstruction, FromInstruction, ParsedDockerfile } from './instruction.ts';
import type { Linter } from './lint.ts';
import { parseReference } from './reference.ts';
import { expandWord } from './shell-words.ts';
import { evaluateGlobalArgs } from './stages.ts';
import { didYouMean } from './suggest.ts';

type EscapeToken = ParsedDockerfile['escape'];

/** Notes what is wrong with the arguments of FROM lines. Never throws what the user caused: what cannot be expanded is the build's error. */
export function lintFrom(parsed: ParsedDockerfile, options: ConvertOptions, lint: Linter): void {
  const { escape: escapeToken } = parsed;
  const { globals, froms } = topLevel(parsed);
  const automatic = automaticArgs({ ...options, targetStage: options.target || froms.at(-1)?.name });
  untilUserError(() => {
    const defaults = evaluateGlobalArgs(globals, automatic, {}, escapeToken);
    for (const from of froms) lintDefaultBase(from, defaults, escapeToken, lint);
  });
  untilUserError(() => {
    const variables = evaluateGlobalArgs(globals, automatic, options.buildArgs, escapeToken);
    const declared = new Set([...variables.keys(), ...globals.flatMap(({ args }) => args.map(({ key }) => key))]);
    for (const from of froms) lintFromArgs(from, { variables, declared, escape: escapeToken }, lint);
  });
}

interface TopLevel {
  readonly globals: readonly ArgInstruction[];
  readonly froms: readonly FromInstruction[];
}

function topLevel({ instructions }: ParsedDockerfile): TopLevel {
  const firstFrom = instructions.findIndex(({ kind }) => kind === 'FROM');
  return {
    globals: instructions.slice(0, Math.max(firstFrom, 0)).filter((one) => one.kind === 'ARG'),
    froms: instructions.filter((one) => one.kind === 'FROM'),
  };
}

/** The base must be an image name without any build arg, too. */
function lintDefaultBase(from: FromInstruction, defaults: Variables, escapeToken: EscapeToken, lint: Linter): void {
  const { value } = expandWord(from.image, defaults, { escape: escapeToken });
  if (isImageName(value)) return;
  const detail = `Default value for ARG ${from.image} results in empty or invalid base image name`;
  lint.warn('InvalidDefaultArgInFrom', detail, from);
}
interface FromScope {
  readonly variables: Variables;
  readonly declared: ReadonlySet<string>;
  readonly escape: EscapeToken;
}

function lintFromArgs(
  from: FromInstruction,
  { variables, declared, escape: escapeToken }: FromScope,
  lint: Linter,
): void {
  const unmatched = [from.image, from.platform ?? ''].flatMap((word) => [
    ...expandWord(word, variables, { escape: escapeToken }).unmatched,
  ]);
  for (const arg of new Set(unmatched)) {
    if (declared.has(arg)) continue;
    lint.warn('UndefinedArgInFrom', didYouMean(`FROM argument '${arg}' is not declared`, arg, declared), from);
  }
}

function isImageName(name: string): boolean {
  let isName = false;
  untilUserError(() => {
    parseReference(name);
    isName = true;
  });
  return isName;
}

/** Runs it until an error of the user's. */
function untilUserError(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
  }
}
