// Recursion without the call stack: input that nests as deep as it likes must not overflow it.

/** A reader that yields what is to be read inside of it, and is resumed with what came of that. */
export type Nested<Request, Result> = Generator<Request, Result, Result | undefined>;

/** Runs `outermost`, and with `open` all that is asked for inside of it; an error goes to who asked. */
export function runNested<Request, Result>(
  outermost: Nested<Request, Result>,
  open: (request: Request) => Nested<Request, Result>,
): Result {
  const waiting: Nested<Request, Result>[] = [];
  let current = outermost;
  let resume = (): IteratorResult<Request, Result> => current.next(undefined);
  for (;;) {
    const step = attempt(resume);
    if ('value' in step && step.done !== true) {
      waiting.push(current);
      current = open(step.value);
      resume = () => current.next(undefined);
      continue;
    }
    const outer = waiting.pop();
    if (outer === undefined) {
      if ('error' in step) throw step.error;
      return step.value;
    }
    current = outer;
    resume = 'error' in step ? () => outer.throw(step.error) : () => outer.next(step.value);
  }
}

function attempt<Step>(resume: () => Step): Step | { readonly error: unknown } {
  try {
    return resume();
  } catch (error) {
    return { error };
  }
}
