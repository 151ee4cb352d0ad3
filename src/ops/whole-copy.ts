// The copy of a tree as it is.
import type { CopyAction } from '../../solver/op.ts';

/** Its source and destination are the caller's. */
export const WHOLE_COPY: Omit<CopyAction, 'src' | 'dest'> = {
  action: 'copy',
  input: -1,
  secondaryInput: 0,
  output: 0,
  mode: -1,
  followSymlink: true,
  dirCopyContents: true,
  createDestPath: true,
};
