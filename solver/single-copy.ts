// The file op of one copy, where no instruction of the user's asked for it.
import type { CopyAction, FileOp } from './op.ts';

/** Copies from the only input onto nothing, modes and owners kept. */
export function singleCopy(copy: Pick<CopyAction, 'src' | 'dest'> & Partial<CopyAction>): FileOp {
  return {
    kind: 'file',
    actions: [{ action: 'copy', input: -1, secondaryInput: 0, output: 0, mode: -1, ...copy }],
  };
}
