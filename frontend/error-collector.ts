// Gathers the errors of one pass, so that a user sees all of them at once.
import type { SourceRange, TsbuildError } from '../solver/errors.ts';
import { TsbuildErrors } from '../solver/errors.ts';
import { withRange } from './errors.ts';

/** Lives for one pass. Equal messages of one place count once. */
export class ErrorCollector {
  readonly #errors: TsbuildError[] = [];

  /** The action's value; when it fails with an error of the user's, notes it with the range and gives undefined. */
  attempt<T>(range: SourceRange, action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      this.note(error, range);
      return undefined;
    }
  }

  /** Notes a failure at the range, unless it says itself where it is; rethrows what is no error of the user's. */
  note(error: unknown, range: SourceRange): void {
    if (error instanceof TsbuildErrors) {
      for (const inner of error.errors) this.note(inner, range);
      return;
    }
    this.add(withRange(error, range));
  }

  add(error: TsbuildError): void {
    const isKnown = this.#errors.some((other) => other.message === error.message && isSameStart(other, error));
    if (!isKnown) this.#errors.push(error);
  }

  /** What was gathered, in the order of the file: one error as itself, several as TsbuildErrors. */
  gathered(): TsbuildError | TsbuildErrors | undefined {
    const [first, ...others] = this.#errors.toSorted((left, right) => firstLine(left) - firstLine(right));
    if (first === undefined) return undefined;
    return others.length === 0 ? first : new TsbuildErrors([first, ...others]);
  }

  /** Throws what was gathered. */
  throwIfAny(): void {
    const error = this.gathered();
    if (error !== undefined) throw error;
  }
}

function firstLine(error: TsbuildError): number {
  return error.range?.start.line ?? 0;
}

function isSameStart(left: TsbuildError, right: TsbuildError): boolean {
  return firstLine(left) === firstLine(right) && left.range?.file === right.range?.file;
}
