// WORKDIR: the directory is made, owned by the current user, unless it is the root.

import type { StepScope } from './convert-scope.ts';
import { expand, shownInstruction, stepOptions } from './convert-scope.ts';
import { absolutePath } from './image-path.ts';
import type { WorkdirInstruction } from './instruction.ts';
import type { StageState } from './stage-state.ts';
import { addHistory, changeConfig, workdirOf } from './stage-state.ts';
import { parseOwner } from './user-ref.ts';

const DIRECTORY_MODE = 0o755;

/** The state after it: a relative path goes on from where the stage was. */
export function convertWorkdir(state: StageState, instruction: WorkdirInstruction, scope: StepScope): StageState {
  const path = expand(instruction.path, state, scope, instruction);
  const workdir = absolutePath(workdirOf(state), path);
  const moved = changeConfig({ ...state, hasWorkdir: true }, { WorkingDir: workdir });
  if (workdir === '/') return addHistory(moved, 'WORKDIR /', 'empty', scope.build.epochMs);
  const made = makeDirectory(moved, workdir, instruction, scope);
  return addHistory(made, `WORKDIR ${workdir}`, 'layer', scope.build.epochMs);
}

function makeDirectory(state: StageState, path: string, instruction: WorkdirInstruction, scope: StepScope): StageState {
  const { User: user } = state.image.config;
  const { epochMs } = scope.build;
  const shown = shownInstruction(instruction.original, state.variables, scope);
  const tree = {
    sources: [state.tree],
    options: stepOptions(shown, state, scope, instruction.range),
    createOp: ({ places: [base = -1] }: { readonly places: readonly number[] }) => ({
      kind: 'file' as const,
      actions: [
        {
          action: 'mkdir' as const,
          input: base,
          secondaryInput: -1,
          output: 0,
          path,
          mode: DIRECTORY_MODE,
          makeParents: true,
          ...(epochMs !== undefined && { timestampMs: epochMs }),
          ...(user !== undefined && user !== '' && { owner: parseOwner(user, base) }),
        },
      ],
    }),
  };
  return { ...state, tree, steps: state.steps + 1 };
}
