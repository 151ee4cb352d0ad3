// Looks paths up in a stack of layer directories the way the mounted overlay would show them, without mounting it.
// Symbolic links are resolved here, in the stack's own terms, so no link in an image can lead the host outside.
import { closeSync, constants, lstatSync, openSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { isWhiteout } from '../snapshot/file-node.ts';
import { hasOpaqueMark, opaqueXattr } from '../snapshot/root-view.ts';

/** A directory merged from several layers, or one file; `hostPath` is the topmost. */
interface StackEntry {
  readonly hostPath: string;
  readonly stat: Stats;
  /** For directories: where it exists in the layers, newest first. */
  readonly layers: readonly string[];
}

/** Where a path leads. */
interface ResolvedPath {
  /** Absolute, without links or `..`, but for what lies below `boundary`. */
  readonly path: string;
  /** Absolute paths of the components that do not exist, outermost first. */
  readonly missing: readonly string[];
  /** The mount target the path goes through; what is below it was not looked at. */
  readonly boundary: string | undefined;
}

interface ResolveOptions {
  /** Mount targets: the walk ends at them. */
  readonly boundaries?: ReadonlySet<string>;
  /** Paths to be taken as existing directories or files though the stack lacks them. */
  readonly planned?: ReadonlySet<string>;
}

const MAX_LINKS = 40;
/** Of a file that is read whole, such as /etc/passwd. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;

/** For one run: what it has looked up it does not look up again. */
export class StackLookup {
  readonly #entries = new Map<string, StackEntry | undefined>();
  readonly #opaqueXattrs: readonly string[];

  /** `dirs` newest first; `isUserNamespace` says which attribute marks opaque directories. */
  constructor(dirs: readonly string[], isUserNamespace: boolean) {
    this.#opaqueXattrs = [opaqueXattr(isUserNamespace)];
    const top = dirs[0];
    if (top !== undefined) this.#entries.set('/', { hostPath: top, stat: lstatSync(top), layers: dirs });
  }

  /** The entry at a resolved path, the last component's link not followed. */
  entry(path: string): StackEntry | undefined {
    if (this.#entries.has(path)) return this.#entries.get(path);
    const slash = path.lastIndexOf('/');
    const parent = this.entry(slash === 0 ? '/' : path.slice(0, slash));
    const found = parent === undefined ? undefined : this.#findIn(parent.layers, path.slice(slash + 1));
    this.#entries.set(path, found);
    return found;
  }

  #findIn(layers: readonly string[], name: string): StackEntry | undefined {
    let top: { hostPath: string; stat: Stats } | undefined;
    const merged: string[] = [];
    for (const [index, layer] of layers.entries()) {
      const hostPath = join(layer, name);
      const stat = lstatSync(hostPath, { throwIfNoEntry: false });
      if (stat === undefined) continue;
      const isDirectory = stat.isDirectory();
      if (!isDirectory && (top !== undefined || isWhiteout(stat))) break;
      top ??= { hostPath, stat };
      if (!isDirectory) break;
      merged.push(hostPath);
      if (index < layers.length - 1 && hasOpaqueMark(hostPath, this.#opaqueXattrs)) break;
    }
    return top === undefined ? undefined : { ...top, layers: merged };
  }

  /** Follows all links, also the last component's. Throws TSB_SANDBOX_LINK_LOOP. */
  resolve(path: string, { boundaries, planned }: ResolveOptions = {}): ResolvedPath {
    let pending = components(path);
    let at = '/';
    let links = 0;
    const missing: string[] = [];
    for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
      if (name === '..') {
        if (missing.at(-1) === at) missing.pop();
        at = join(at, '..');
        continue;
      }
      const next = join(at, name);
      const entry = missing.length > 0 ? undefined : this.entry(next);
      if (entry?.stat.isSymbolicLink() === true && planned?.has(next) !== true) {
        if (++links > MAX_LINKS) throw linkLoop(path);
        const target = readlinkSync(entry.hostPath);
        pending = [...components(target), ...pending];
        if (target.startsWith('/')) at = '/';
        continue;
      }
      if (entry === undefined && planned?.has(next) !== true) missing.push(next);
      at = next;
      if (boundaries?.has(at) === true) return { path: join(at, ...pending), missing, boundary: at };
    }
    return { path: at, missing, boundary: undefined };
  }

  /** The entry a path leads to, links followed; undefined when there is none. */
  find(path: string): StackEntry | undefined {
    const resolved = this.resolve(path);
    return resolved.missing.length > 0 ? undefined : this.entry(resolved.path);
  }

  /** Text of a regular file, or undefined when there is none at the path. Throws TSB_SANDBOX_FILE_TOO_LARGE. */
  readText(path: string): string | undefined {
    const entry = this.find(path);
    if (entry?.stat.isFile() !== true) return undefined;
    if (entry.stat.size > MAX_TEXT_BYTES) throw tooLarge(path, entry.stat.size);
    const fd = openSync(entry.hostPath, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  }
}

function components(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

function tooLarge(path: string, size: number): TsbuildError {
  return new TsbuildError(
    'TSB_SANDBOX_FILE_TOO_LARGE',
    `${path} of the image has ${size} bytes; at most 16 MiB are read`,
  );
}

function linkLoop(path: string): TsbuildError {
  return new TsbuildError('TSB_SANDBOX_LINK_LOOP', `too many symbolic links in the image at '${path}'`);
}
