// Turns what the file system and SQLite say about the store into errors that name the store and the way out.
import { TsbuildError } from '../../solver/errors.ts';
import { codeOf } from '../sys/error-code.ts';

const SQLITE = { busy: 5, locked: 6, readonly: 8, ioerr: 10, corrupt: 11, full: 13, cantopen: 14, notadb: 26 } as const;

/** The TsbuildError that stands for the failure of an access to the store at `root`, or the error itself when it is none of these. */
export function storeError(root: string, error: unknown): unknown {
  if (error instanceof TsbuildError || !(error instanceof Error)) return error;
  const kind = kindOf(error);
  return kind === undefined ? error : MESSAGES[kind](root, error);
}

/** Whether SQLite failed because somebody else uses the file at this moment. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && kindOf(error) === 'locked';
}

/** Runs the function; failures of the disk or of SQLite leave it as `storeError` says. */
export function withStoreErrors<T>(root: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw storeError(root, error);
  }
}

/** The same for work that reads and writes other files, too: only what the store's own files refuse this user counts. */
export function refusedError(root: string, error: unknown): unknown {
  if (!(error instanceof Error) || !REFUSALS.has(codeOf(error) ?? '')) return error;
  const isOfStore = 'path' in error && String(error.path).startsWith(`${root}/`);
  return isOfStore ? MESSAGES.readOnly(root, error) : error;
}

const REFUSALS: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS']);

/** The same for work whose other failures have nothing to do with the store: only a full disk, also as a cause, counts. */
export function fullDiskError(root: string, error: unknown): unknown {
  if (error instanceof TsbuildError && error.code.startsWith('TSB_STORE_')) return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = codeOf(cause);
    if (code === 'ENOSPC' || code === 'EDQUOT') return MESSAGES.noSpace(root, cause);
  }
  return error;
}

type Kind = 'notADirectory' | 'readOnly' | 'noSpace' | 'locked' | 'corrupt';

function kindOf(error: Error & { code?: unknown; errcode?: unknown }): Kind | undefined {
  if (error.code === 'ERR_SQLITE_ERROR' && typeof error.errcode === 'number') return sqliteKind(error.errcode);
  switch (error.code) {
    case 'EROFS':
    case 'ENOENT':
    case 'EACCES':
    case 'EPERM':
      return 'readOnly';
    case 'ENOTDIR':
    case 'EEXIST':
      return 'notADirectory';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'noSpace';
    default:
      return undefined;
  }
}

function sqliteKind(errcode: number): Kind | undefined {
  // Extended codes keep the primary code in their low byte.
  switch (errcode & 0xff) {
    case SQLITE.busy:
    case SQLITE.locked:
      return 'locked';
    case SQLITE.readonly:
    case SQLITE.cantopen:
      return 'readOnly';
    case SQLITE.full:
    case SQLITE.ioerr:
      return 'noSpace';
    case SQLITE.corrupt:
    case SQLITE.notadb:
      return 'corrupt';
    default:
      return undefined;
  }
}

const MESSAGES: Readonly<Record<Kind, (root: string, cause: Error) => TsbuildError>> = {
  notADirectory: (root, cause) =>
    new TsbuildError('TSB_STORE_NOT_A_DIRECTORY', `cannot make the store "${root}": there is a file in its way`, {
      hint: 'name another directory with TSBUILD_ROOT',
      cause,
    }),
  readOnly: (root, cause) =>
    new TsbuildError('TSB_STORE_READ_ONLY', `cannot write to the store "${root}"`, {
      hint: 'make it writable for this user, or name another directory with TSBUILD_ROOT',
      cause,
    }),
  noSpace: (root, cause) =>
    new TsbuildError('TSB_STORE_NO_SPACE', `no space left for the store "${root}"`, {
      hint: 'free some space there, or name a directory on another disk with TSBUILD_ROOT',
      cause,
    }),
  locked: (root, cause) =>
    new TsbuildError('TSB_STORE_LOCKED', `another process keeps the store "${root}" locked`, {
      hint: 'wait for the other tsbuild to end, or end it',
      cause,
    }),
  corrupt: (root, cause) =>
    new TsbuildError('TSB_STORE_CORRUPT', `the store "${root}" is damaged: "${root}/meta.db" is no valid database`, {
      hint: `remove the directory "${root}" and build again`,
      cause,
    }),
};

/** The store was written by a later tsbuild, whose schema this one does not know. */
export function newerStoreError(root: string, found: number, known: number): TsbuildError {
  return new TsbuildError(
    'TSB_STORE_NEWER',
    `the store "${root}" has schema version ${found}, this tsbuild knows versions up to ${known}`,
    { hint: 'use the newer tsbuild, or name another directory with TSBUILD_ROOT' },
  );
}
