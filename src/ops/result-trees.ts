// The trees behind results: build contexts by name, committed snapshots by stack, and the empty tree.
import { TsbuildError } from '../../solver/errors.ts';
import type { Result } from '../../solver/op-runner.ts';
import { RootView } from '../snapshot/root-view.ts';
import type { Snapshotter } from '../snapshot/snapshotter.ts';
import type { ContextTree } from './build-context.ts';
import { EMPTY_TREE } from './empty-tree.ts';
import { type FileDigestCache, SourceDigests } from './source-digests.ts';
import { FileDigester } from './source-file.ts';

/** What trees are made of; contexts are opened at most once, and by the first who asks. */
export interface ResultTreePorts {
  readonly snapshotter: Snapshotter;
  readonly isRootless: boolean;
  /** The build context or named context of that name; undefined when there is none. Opened once. */
  readonly openContext: (name: string) => ContextTree | undefined;
  /** Digests of earlier builds for the files below a directory. */
  readonly statCache: { open(contextRoot: string): FileDigestCache };
  /** UTC, ms since the epoch. */
  readonly now: () => number;
}

const CONTEXT_PREFIX = 'context:';

/** The result that stands for a local directory. */
export function contextResult(name: string): Result {
  return { id: `${CONTEXT_PREFIX}${name}` };
}

/** The name of the local directory a result stands for, or undefined. */
export function contextNameOf({ id }: Result): string | undefined {
  return id?.startsWith(CONTEXT_PREFIX) ? id.slice(CONTEXT_PREFIX.length) : undefined;
}

/** Each tree is opened once and remembers the digests of its files. */
export class ResultTrees {
  readonly #ports: ResultTreePorts;
  readonly #digester = new FileDigester();
  readonly #known = new Map<string, SourceDigests>();

  constructor(ports: ResultTreePorts) {
    this.#ports = ports;
  }

  /** Throws TSB_CONTEXT_UNKNOWN, TSB_CONTEXT_NOT_FOUND, TSB_SNAPSHOT_NOT_FOUND. */
  of(result: Result): SourceDigests {
    const key = result.id ?? '';
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const opened = this.#open(result);
    this.#known.set(key, opened);
    return opened;
  }

  /** Makes the digests of build contexts known to later builds. */
  flush(): void {
    for (const digests of this.#known.values()) digests.flush();
  }

  #open(result: Result): SourceDigests {
    const { now, snapshotter, isRootless } = this.#ports;
    const options = { digester: this.#digester, now };
    const name = contextNameOf(result);
    if (name !== undefined) {
      const tree = this.#ports.openContext(name);
      if (tree === undefined) throw new TsbuildError('TSB_CONTEXT_UNKNOWN', `no build context named "${name}"`);
      return new SourceDigests(tree, {
        ...options,
        cache: this.#ports.statCache.open(tree.root),
        hasRootHeader: false,
      });
    }
    const tree = result.id === undefined ? EMPTY_TREE : new RootView(snapshotter.stack(result.id), { isRootless });
    return new SourceDigests(tree, { ...options, hasRootHeader: true });
  }
}
