// The one error class a user can meet, and the facts every printer needs from it.

/** Where in a source text an error or warning belongs. Lines and columns are 1-based; the end is exclusive. */
export interface SourceRange {
  readonly file: string;
  readonly start: { readonly line: number; readonly column: number };
  readonly end: { readonly line: number; readonly column: number };
}

interface TsbuildErrorOptions {
  /** What the user can do about it; one sentence, no final stop. */
  readonly hint?: string;
  readonly cause?: unknown;
  readonly range?: SourceRange;
  /** The vertex that failed, once the solver knows it. */
  readonly vertex?: string;
  /** 1: the build failed, 2: wrong usage, 130: interrupted. Default 1. */
  readonly exitCode?: number;
}

/**
 * A failure that a user can cause. `code` is stable (`TSB_` + area + fact) and listed in the README; `message` is one
 * sentence, lower-case, without a final stop. Anything else thrown is a defect of tsbuild itself.
 */
export class TsbuildError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly range: SourceRange | undefined;
  readonly vertex: string | undefined;
  readonly exitCode: number;

  constructor(code: string, message: string, options: TsbuildErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TsbuildError';
    this.code = code;
    this.hint = options.hint;
    this.range = options.range;
    this.vertex = options.vertex;
    this.exitCode = options.exitCode ?? 1;
  }
}

/** Several errors of one pass, each reported on its own. */
export class TsbuildErrors extends Error {
  readonly errors: readonly TsbuildError[];

  constructor(errors: readonly TsbuildError[]) {
    super(errors.map((error) => error.message).join('\n'));
    this.name = 'TsbuildErrors';
    this.errors = errors;
  }
}

/** For code that cannot be reached; keeps exhaustive switches honest. */
export function unreachable(value: never): never {
  throw new Error(`internal error: unexpected value ${JSON.stringify(value)}`);
}
