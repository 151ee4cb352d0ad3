// Remembers promises by name, so that what several ask for happens once.

/** A map of promises. A rejection reaches whoever awaits it; one that nobody awaits is not "unhandled". */
export class Memo<Value> {
  readonly #promises = new Map<string, Promise<Value>>();

  /** The promise of that name, started by the first who asks. */
  once(name: string, start: () => Promise<Value>): Promise<Value> {
    const known = this.#promises.get(name);
    if (known !== undefined) return known;
    const promise = start();
    promise.catch(() => undefined);
    this.#promises.set(name, promise);
    return promise;
  }

  /** The next who asks for the name starts anew, unless somebody has since. */
  forget(name: string, promise: Promise<Value>): void {
    if (this.#promises.get(name) === promise) this.#promises.delete(name);
  }

  /** True once somebody has asked. */
  has(name: string): boolean {
    return this.#promises.has(name);
  }
}
