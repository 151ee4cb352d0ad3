// What the conversion of one stage's instructions can see besides the stage's state.
import type { SourceRange } from '../solver/errors.ts';
import type { VertexOptions } from '../solver/vertex.ts';
import type { Variables } from './args.ts';
import type { ContextPaths } from './context-paths.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { Tree } from './draft.ts';
import type { ExpandMode } from './expansion.ts';
import { expandText, showText } from './expansion.ts';
import type { Heredoc, Instruction, LintWarning } from './instruction.ts';
import type { Stage } from './stages.ts';
import type { StageState } from './stage-state.ts';
import { stepName, upperCaseKeyword } from './step-name.ts';

/** A tree to copy or mount from, and the way to say which of its paths are needed. */
export interface SourceTree {
  readonly tree: Tree;
  readonly usePath: (path: string) => void;
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
  readonly warn: (warning: LintWarning) => void;
}

/** An instruction's turn in its stage. */
export interface StepScope {
  readonly build: BuildScope;
  readonly stage: Stage;
  readonly stepTotal: number;
  readonly isOnbuild: boolean;
  readonly ignoreCache: boolean;
  /** The tree behind a `--from`, already converted. Throws when it is a stage that comes later. */
  readonly source: (from: string) => SourceTree;
}

/** The word with its variables filled in, for the instruction at hand. */
export function expand(word: string, state: StageState, scope: StepScope, instruction: Instruction, mode?: ExpandMode): string {
  return expandText(word, state.variables, {
    escape: scope.build.escape,
    range: instruction.range,
    ...(mode !== undefined && { mode }),
  });
}

/** A heredoc's body, expanded unless its word was quoted. */
export function heredocBody(heredoc: Heredoc, state: StageState, scope: StepScope, instruction: Instruction): string {
  return heredoc.expand ? expand(heredoc.body, state, scope, instruction, 'heredoc') : heredoc.body;
}

/** Options of the vertex of the next step, shown with `text`. */
export function stepOptions(text: string, state: StageState, scope: StepScope, range: SourceRange): VertexOptions {
  return {
    name: nameStep(text, state, scope),
    range,
    ...(scope.ignoreCache && { ignoreCache: true }),
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
export function shownInstruction(original: string, variables: Variables, scope: StepScope, mode?: ExpandMode): string {
  return upperCaseKeyword(showText(original, variables, scope.build.escape, mode));
}
