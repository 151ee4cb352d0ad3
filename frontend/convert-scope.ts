// What the conversion of one stage's instructions can see besides the stage's state.
import type { SourceRange } from '../solver/errors.ts';
import { TsbuildError } from '../solver/errors.ts';
import type { VertexOptions } from '../solver/vertex.ts';
import type { Variables } from './args.ts';
import type { ContextPaths } from './context-paths.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { Tree } from './draft.ts';
import type { Heredoc, Instruction } from './instruction.ts';
import type { Linter } from './lint.ts';
import type { NoCache } from './no-cache.ts';
import type { ExpandedWord, ExpandedWords, ExpandOptions } from './shell-words.ts';
import { expandHeredoc, expandWord, expandWords } from './shell-words.ts';
import type { StageState } from './stage-state.ts';
import type { Stage } from './stages.ts';
import { stepName, upperCaseKeyword } from './step-name.ts';

/** A tree to copy or mount from, and the way to say which of its paths are needed. */
export interface SourceTree {
  readonly tree: Tree;
  readonly needPath: (path: string) => void;
}

/** The same for every stage of a conversion. */
export interface BuildScope {
  readonly options: ConvertOptions;
  readonly escape: '\\' | '`';
  readonly globalArgs: Variables;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly proxyEnv: Readonly<Record<string, string>> | undefined;
  readonly epochMs: number | undefined;
  /** The main build context. */
  readonly context: SourceTree;
  readonly contextPaths: ContextPaths;
  readonly lint: Linter;
}

/** An instruction's turn in its stage. */
export interface StepScope {
  readonly build: BuildScope;
  readonly stage: Stage;
  readonly stepTotal: number;
  readonly isOnbuild: boolean;
  readonly noCache: NoCache | undefined;
  /** The tree behind a `--from`, already converted; undefined for a stage that comes later. */
  readonly source: (from: string) => SourceTree | undefined;
}

/** The word with its variables filled in, for the instruction at hand. */
export function expand(word: string, state: StageState, scope: StepScope, instruction: Instruction): string {
  const expanded = expandWord(word, state.variables, { escape: scope.build.escape });
  reportUndefined(expanded, state, scope, instruction);
  return expanded.value;
}

/** The words that a text with variables splits into. */
export function expandList(
  text: string,
  state: StageState,
  scope: StepScope,
  instruction: Instruction,
): readonly string[] {
  const expanded = expandWords(text, state.variables, { escape: scope.build.escape });
  reportUndefined(expanded, state, scope, instruction);
  return expanded.words;
}

/** A heredoc's body, expanded unless its word was quoted. */
export function heredocBody(heredoc: Heredoc, state: StageState, scope: StepScope, instruction: Instruction): string {
  if (!heredoc.expand) return heredoc.body;
  const expanded = expandHeredoc(heredoc.body, state.variables);
  reportUndefined(expanded, state, scope, instruction);
  return expanded.value;
}

function reportUndefined(
  { unmatched }: ExpandedWord | ExpandedWords,
  state: StageState,
  scope: StepScope,
  instruction: Instruction,
): void {
  if (unmatched.size > 0) scope.build.lint.undefinedVariables(unmatched, state.args, state.variables, instruction);
}

/** Options of the vertex of the next step, shown with `text`. */
export function stepOptions(text: string, state: StageState, scope: StepScope, range: SourceRange): VertexOptions {
  const { noCache } = scope;
  return {
    name: nameStep(text, state, scope),
    range,
    ...(noCache && { ignoreCache: true, ...(noCache.filter !== undefined && { ignoredFor: noCache.filter }) }),
  };
}

/** The progress line of the next step. */
export function nameStep(text: string, state: StageState, scope: StepScope): string {
  return stepName(text, {
    stageName: scope.stage.displayName,
    step: state.steps + 1,
    total: scope.stepTotal,
    isOnbuild: scope.isOnbuild,
    platform: scope.build.options.isMultiPlatform ? state.platform : undefined,
    variables: state.variables,
  });
}

/** An instruction as progress shows it: variables filled in where that can be done, keyword in upper case. */
export function shownInstruction(
  text: string,
  variables: Variables,
  scope: StepScope,
  options: ExpandOptions = {},
): string {
  try {
    return upperCaseKeyword(expandWord(text, variables, { escape: scope.build.escape, ...options }).value);
  } catch (error) {
    if (error instanceof TsbuildError) return upperCaseKeyword(text);
    throw error;
  }
}
