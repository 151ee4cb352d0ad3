// COPY and ADD: one file op with a copy action for each source, or a merge of such a tree with --link.
import type { TsbuildError } from '../solver/errors.ts';
import type { FileAction, FileOp } from '../solver/op.ts';
import type { VertexOptions } from '../solver/vertex.ts';
import type { SourceTree, StepScope } from './convert-scope.ts';
import { expand, heredocBody, nameStep, shownInstruction, stepOptions } from './convert-scope.ts';
import type { CopySource, ExpandedCopy } from './copy-source.ts';
import { copySources } from './copy-source.ts';
import type { InputPlaces, Tree } from './draft.ts';
import { dockerfileError } from './errors.ts';
import type { FileMode } from './file-mode.ts';
import { parseFileMode } from './file-mode.ts';
import { destinationPath, leadsOut } from './image-path.ts';
import type { AddInstruction, CopyInstruction } from './instruction.ts';
import type { StageState } from './stage-state.ts';
import { addHistory, workdirOf } from './stage-state.ts';
import { parseOwner } from './user-ref.ts';

/** The state after it. Throws TsbuildError for a wrong owner, mode, checksum or source. */
export function convertCopy(
  state: StageState,
  instruction: CopyInstruction | AddInstruction,
  scope: StepScope,
): StageState {
  const from = instruction.kind === 'COPY' ? instruction.from : undefined;
  const source = from === undefined ? scope.build.context : stageSource(from, scope);
  const copy = expandCopy(state, instruction, scope);
  const mode = copy.chmod === '' ? undefined : parseFileMode(copy.chmod);
  if (state.tree === undefined || isLinked(instruction, mode)) requireNumbers(copy);
  const shown = shownInstruction(instruction.original, state.variables, scope);
  const pieces = copySources(copy, {
    tree: source.tree,
    stepName: nameStep(shown, state, scope),
    range: instruction.range,
  });
  if (from === undefined) scope.build.lint.copySources(copy.sources, instruction);
  notePaths(copy, source, pieces);
  const tree = copyTree({ state, copy, mode, pieces, shown, scope });
  const copied = { ...state, tree, steps: state.steps + 1 };
  return addHistory(copied, `${historyText(copy)} # buildkit`, 'layer', scope.build.epochMs);
}

function stageSource(from: string, scope: StepScope): SourceTree {
  const source = scope.source(from);
  if (source !== undefined) return source;
  const message = `cannot copy from stage "${from}", it needs to be defined before current stage "${scope.stage.displayName}"`;
  throw dockerfileError('STAGE_ORDER', message, { word: `--from=${from}`, hint: 'move that stage up' });
}

interface CopyTreeOptions {
  readonly state: StageState;
  readonly copy: ExpandedCopy;
  readonly mode: FileMode | undefined;
  readonly pieces: readonly CopySource[];
  readonly shown: string;
  readonly scope: StepScope;
}

function expandCopy(state: StageState, instruction: CopyInstruction | AddInstruction, scope: StepScope): ExpandedCopy {
  const fill = (word: string) => expand(word, state, scope, instruction);
  const chown = fill(instruction.chown ?? '');
  const chmod = fill(instruction.chmod ?? '');
  const checksum = instruction.kind === 'ADD' && instruction.checksum ? fill(instruction.checksum) : undefined;
  return {
    instruction,
    chown,
    chmod,
    checksum,
    sources: instruction.sources.map(fill),
    dest: fill(instruction.dest),
    documents: instruction.heredocs.map((heredoc) => ({
      name: heredoc.name,
      body: heredocBody(heredoc, state, scope, instruction),
    })),
  };
}

function notePaths(copy: ExpandedCopy, source: SourceTree, pieces: readonly CopySource[]): void {
  copy.sources.forEach((path, index) => {
    if (pieces[index]?.isLocal === true) source.needPath(path);
  });
}

function copyTree(options: CopyTreeOptions): Tree {
  const { state, copy, mode, shown, scope } = options;
  const step = { ...stepOptions(shown, state, scope, copy.instruction.range), ...climbingHint(options) };
  if (!isLinked(copy.instruction, mode)) return fileDraft(state.tree, options, step);
  if (state.tree === undefined) return fileDraft(undefined, options, step);
  const { stage } = scope;
  const progressGroup = { id: `link-${stage.index}-${state.steps + 1}`, name: step.name };
  const linked = fileDraft(undefined, options, { ...step, progressGroup });
  return {
    sources: [state.tree, linked],
    options: { ...step, name: nameStep(`LINK ${shown}`, state, scope), progressGroup },
    createOp: ({ places }: InputPlaces) => ({ kind: 'merge', inputs: places }),
  };
}

/** Says why a source is not found that was meant to be beside the build context. */
function climbingHint({ copy, pieces }: CopyTreeOptions): Pick<VertexOptions, 'hintOf'> {
  if (copy.instruction.kind === 'COPY' && copy.instruction.from !== undefined) return {};
  const climbing = pieces.filter(({ isLocal }, index) => isLocal && leadsOut(copy.sources[index] ?? ''));
  if (climbing.length === 0) return {};
  const paths = climbing.flatMap(({ src, flags }) => [src, ...(flags.requiredPaths ?? [])]);
  const hint = '".." does not lead out of the build context: paths begin at its root';
  const isOne = ({ code, message }: TsbuildError): boolean =>
    code === 'TSB_COPY_SOURCE_NOT_FOUND' && paths.some((path) => message === `"${path}": not found`);
  return { hintOf: (error) => (isOne(error) ? hint : undefined) };
}

function isLinked({ link }: CopyInstruction | AddInstruction, mode: FileMode | undefined): boolean {
  return link && mode === undefined;
}

/** A copy that begins with nothing has no users to look names up among; the text is BuildKit's. */
function requireNumbers({ chown, instruction }: ExpandedCopy): void {
  const { user, group } = parseOwner(chown, -1);
  if (![user, group].some((one) => one !== undefined && 'name' in one)) return;
  throw dockerfileError('OWNER_NAME', 'invalid user index: -1', {
    word: `--chown=${instruction.chown ?? ''}`,
    hint: instruction.link
      ? '--link copies without looking at the image: give numbers, or leave out --link'
      : 'scratch has no users: give numbers',
  });
}

function fileDraft(base: Tree, options: CopyTreeOptions, step: ReturnType<typeof stepOptions>): Tree {
  const { pieces } = options;
  return {
    sources: [base, ...pieces.map(({ tree }) => tree)],
    options: step,
    createOp: (inputs) => copyOp(inputs, options),
  };
}

function copyOp({ places, inputCount }: InputPlaces, { state, copy, mode, pieces }: CopyTreeOptions): FileOp {
  const [base = -1, ...sources] = places;
  const dest = destinationPath(workdirOf(state), copy.dest);
  const { excludes } = copy.instruction;
  const actions = pieces.map(
    (piece, index): FileAction => ({
      action: 'copy',
      input: index === 0 ? base : inputCount + index - 1,
      secondaryInput: sources[index] ?? -1,
      output: index === pieces.length - 1 ? 0 : -1,
      src: piece.src,
      dest,
      ...(copy.chown !== '' && { owner: parseOwner(copy.chown, base) }),
      ...modeFields(mode),
      createDestPath: true,
      ...piece.flags,
      ...(excludes.length > 0 && { excludePatterns: excludes }),
    }),
  );
  return { kind: 'file', actions };
}

function modeFields(mode: FileMode | undefined): { readonly mode: number; readonly modeStr?: string } {
  if (mode === undefined) return { mode: -1 };
  return 'mode' in mode ? mode : { mode: 0, modeStr: mode.modeStr };
}

function historyText(copy: ExpandedCopy): string {
  const { instruction, chown, chmod, sources, documents, dest } = copy;
  const flags = [
    ...(instruction.kind === 'COPY' && instruction.parents ? ['--parents'] : []),
    ...(chown === '' ? [] : [`--chown=${chown}`]),
    ...(chmod === '' ? [] : [`--chmod=${chmod}`]),
  ];
  return [instruction.kind, ...flags, ...sources, ...documents.map(({ name }) => `<<${name}`), dest].join(' ');
}
