// Names of an archive as a process sees them whose root directory is the one the archive is unpacked into: a link to
// `/etc` or `..` leads to somewhere below it. What ADD unpacks is resolved so, as Docker's and BuildKit's chroot does it.
import { TsbuildError } from '../../solver/errors.ts';
import type { RootView } from '../snapshot/root-view.ts';
import { joinPath } from '../snapshot/tree-path.ts';

/** Limit of links followed in one resolution. */
const MAX_LINKS = 255;

/** Resolves names below a directory of the view. */
export class RootedPaths {
  readonly #view: RootView;
  readonly #base: string;
  readonly #known = new Map<string, string>();

  /** `base` is a canonical path of the view. */
  constructor(view: RootView, base: string) {
    this.#view = view;
    this.#base = base;
  }

  /** The canonical path of the directory that the names lead to, every link followed. Throws TSB_PATH_LINK_LOOP. */
  directory(names: readonly string[]): string {
    const key = names.join('/');
    const known = this.#known.get(key) ?? this.#resolve(names);
    this.#known.set(key, known);
    return known;
  }

  /** The canonical path of an entry; a link in the last name is not followed. Throws TSB_PATH_LINK_LOOP. */
  entry(names: readonly string[]): string {
    const last = names.at(-1);
    return last === undefined ? this.#base : joinPath(this.directory(names.slice(0, -1)), last);
  }

  /** Call it when a link was made or replaced. */
  forget(): void {
    this.#known.clear();
  }

  #resolve(names: readonly string[]): string {
    const pending = [...names].reverse();
    let resolved: string[] = [];
    let links = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        resolved.pop();
        continue;
      }
      const node = this.#view.lookup(this.#pathOf([...resolved, name]));
      if (node?.type !== 'symlink') {
        resolved.push(name);
        continue;
      }
      links++;
      if (links > MAX_LINKS) throw linkLoop(names);
      if (node.linkTarget.startsWith('/')) resolved = [];
      pending.push(...node.linkTarget.split('/').reverse());
    }
    return this.#pathOf(resolved);
  }

  #pathOf(names: readonly string[]): string {
    return names.reduce(joinPath, this.#base);
  }
}

function linkLoop(names: readonly string[]): TsbuildError {
  return new TsbuildError('TSB_PATH_LINK_LOOP', `too many symbolic links while resolving "${names.join('/')}"`);
}
