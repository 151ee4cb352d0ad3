// Errors that the text of a Dockerfile causes. Rooms that see one line throw without a place; the room that knows the
// file adds it.
import { type SourceRange, TsbuildError, TsbuildErrors } from '../solver/errors.ts';

interface DockerfileErrorOptions {
  readonly range?: SourceRange;
  readonly hint?: string;
  /** The word at fault, as written: the range shrinks to it where it can be found on one line. */
  readonly word?: string;
}

/** An error of the Dockerfile language. `word` is what the user wrote wrong, when one word is to blame. */
export class DockerfileError extends TsbuildError {
  readonly word: string | undefined;

  constructor(code: string, message: string, options: DockerfileErrorOptions = {}) {
    super(code, message, pickDefined(options));
    this.name = 'DockerfileError';
    this.word = options.word;
  }
}

/** `TSB_DOCKERFILE_<fact>` with BuildKit's text. */
export function dockerfileError(fact: string, message: string, options: DockerfileErrorOptions = {}): DockerfileError {
  return new DockerfileError(`TSB_DOCKERFILE_${fact}`, message, options);
}

/** True for what a user can cause, one error or several; anything else is a defect, or the end of an interrupted build. */
export function isUserError(error: unknown): error is TsbuildError | TsbuildErrors {
  return error instanceof TsbuildError || error instanceof TsbuildErrors;
}

/**
 * The same error at a place in the source, its message behind `prefix`. An error that has its place keeps it; anything
 * that is not a TsbuildError is a defect and is thrown on.
 */
export function withRange(error: unknown, range: SourceRange, prefix = ''): TsbuildError {
  if (!(error instanceof TsbuildError)) throw error;
  if (error.range !== undefined) return error;
  const { code, hint, cause } = error;
  const word = error instanceof DockerfileError ? error.word : undefined;
  const message = prefix + error.message;
  if (cause === undefined) return new DockerfileError(code, message, pickDefined({ hint, word, range }));
  return new TsbuildError(code, message, { ...pickDefined({ hint, range }), cause });
}

/** Runs `read` and gives any error of the user's the place `range`. */
export function atRange<T>(range: SourceRange, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw withRange(error, range);
  }
}

type Loose = { readonly [K in keyof DockerfileErrorOptions]?: DockerfileErrorOptions[K] | undefined };

function pickDefined(options: Loose): DockerfileErrorOptions {
  return {
    ...(options.range === undefined ? {} : { range: options.range }),
    ...(options.hint === undefined ? {} : { hint: options.hint }),
    ...(options.word === undefined ? {} : { word: options.word }),
  };
}
