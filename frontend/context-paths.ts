// Which paths of each local context the definition turns out to need.
import type { ContextUse } from './convert-options.ts';
import { absolutePath } from './image-path.ts';

/** Filled while stages are converted, read when the definition is finished. */
export class ContextPaths {
  readonly #pathsByName = new Map<string, Set<string>>();

  /** Notes that the context is read at the path, which may have wildcards and `..`; `/` means all of it. */
  add(context: string, path: string): void {
    const paths = this.#pathsByName.get(context) ?? new Set();
    this.#pathsByName.set(context, paths.add(absolutePath('/', path).slice(1)));
  }

  /** The needed paths, relative and sorted; undefined when everything is, or nothing was noted. */
  paths(context: string): readonly string[] | undefined {
    const paths = this.#pathsByName.get(context);
    if (paths === undefined || paths.has('')) return undefined;
    return [...paths].sort();
  }

  /** Every context that was read. */
  uses(): readonly ContextUse[] {
    return [...this.#pathsByName.keys()].sort().map((name) => ({ name, paths: this.paths(name) }));
  }
}
