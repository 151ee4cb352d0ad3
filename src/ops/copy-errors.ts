// What a copy says when the two sides do not fit, in BuildKit's words without the paths of this machine.
import { TsbuildError } from '../../solver/errors.ts';

/** A directory over something that is none. */
export function cannotCopyOverFile(path: string): TsbuildError {
  return new TsbuildError('TSB_COPY_NOT_A_DIRECTORY', `cannot copy to non-directory: ${path}`, {
    hint: 'a directory can only be copied onto a directory: remove the file first, or choose another destination',
  });
}

/** A file over a directory; any other cause is given back as it is. */
export function cannotReplaceDirectory(path: string, cause: unknown): unknown {
  if (!(cause instanceof TsbuildError) || cause.code !== 'TSB_SNAPSHOT_IS_A_DIRECTORY') return cause;
  return new TsbuildError('TSB_COPY_IS_A_DIRECTORY', `cannot replace to directory ${path} with file`, {
    cause,
    hint: 'a directory of that name is already there: remove it first, or choose another destination',
  });
}

/** A parent of the destination is a file. */
export function parentNotADirectory(path: string, cause: unknown): unknown {
  if (!(cause instanceof TsbuildError) || cause.code !== 'TSB_SNAPSHOT_NOT_A_DIRECTORY') return cause;
  return new TsbuildError('TSB_COPY_NOT_A_DIRECTORY', `mkdir ${path}: not a directory`, { cause });
}
