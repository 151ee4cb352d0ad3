// The digests of a tree's files, each computed once: from memory, from the stat cache, or by reading.
import { type Digest, digestOf } from '../../solver/digest.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import type { Slices } from '../sys/turns.ts';
import { EMPTY_DIGEST } from './content-hash.ts';
import { changedWhileRead, type FileDigester } from './source-file.ts';

/** Digests of earlier builds; src/cache/stat-cache.ts has them. */
export interface FileDigestCache {
  get(path: string, stat: FileNode): Digest | undefined;
  /** `recordedAtMs`: a time after the stat and before the bytes were read. */
  put(path: string, stat: FileNode, digest: Digest, recordedAtMs: number): void;
  /** Makes what was put visible to later builds. */
  flush(): void;
}

/** Of a directory of root's with mode 0755. */
const NEW_DIRECTORY_HEADER = digestOf('namemode493uid0gid0size0typeflag5linknameunamegnamedevmajor0devminor0');
/** A digest is trusted without a second look only when the file's last change is older than this, ms. */
const RACY_MS = 100;
/** Files from this size on are read with pauses where the caller can wait. */
const LARGE_SIZE = 1 << 24;

/** See above; one for each tree, for as long as the tree lives. */
export class SourceDigests {
  readonly tree: FileTree;
  readonly #digester: FileDigester;
  readonly #cache: FileDigestCache | undefined;
  readonly #now: () => number;
  readonly #hasRootHeader: boolean;
  readonly #digests = new Map<string, Digest>();
  readonly #doubtful = new Set<string>();
  #bytesRead = 0;

  constructor(
    tree: FileTree,
    options: {
      readonly digester: FileDigester;
      readonly cache?: FileDigestCache;
      /** ms since the epoch. */
      readonly now: () => number;
      /** False for a build context: its root has no header that counts, as in BuildKit. */
      readonly hasRootHeader: boolean;
    },
  ) {
    this.tree = tree;
    this.#digester = options.digester;
    this.#cache = options.cache;
    this.#now = options.now;
    this.#hasRootHeader = options.hasRootHeader;
  }

  /** The digest of the node by itself, see content-hash.ts. Throws TSB_CONTEXT_CHANGED. */
  readonly of = (node: FileNode): Digest => {
    const known = this.#digests.get(node.path);
    if (known !== undefined) return known;
    const digest = this.#compute(node);
    this.#digests.set(node.path, digest);
    return digest;
  };

  /** The same, with pauses while a large file is read. */
  readonly inSlices = (node: FileNode): Slices<Digest> => this.#inSlices(node);

  /** The digest, if it has been asked for before. */
  known(node: FileNode): Digest | undefined {
    return this.#digests.get(node.path);
  }

  /**
   * To be called when the bytes now at `copyPath` have been copied from the node: they must be the digested ones, or what
   * is cached under their digest would be wrong. Throws TSB_CONTEXT_CHANGED.
   */
  verifyCopy(node: FileNode, copyPath: string, isUnchanged: boolean): void {
    const expected = this.#digests.get(node.path);
    if (expected === undefined || (isUnchanged && !this.#doubtful.has(node.path))) return;
    const copied = this.#digester.digestAs(this.tree, node, copyPath);
    if (copied !== expected) throw changedWhileRead(node);
  }

  /** The digest the node would have with another mode or owner. */
  digestUnder(node: FileNode, header: Pick<FileNode, 'mode' | 'uid' | 'gid'>): Digest {
    return this.#digester.digestAs(this.tree, { ...node, ...header }, node.hostPath);
  }

  /** Bytes of the files that had to be read since the last call. */
  takeBytesRead(): number {
    const bytes = this.#bytesRead;
    this.#bytesRead = 0;
    return bytes;
  }

  /** Makes digests known to later builds. */
  flush(): void {
    this.#cache?.flush();
  }

  *#inSlices(node: FileNode): Slices<Digest> {
    if (node.type !== 'file' || node.size < LARGE_SIZE) return this.of(node);
    const known = this.#digests.get(node.path) ?? this.#cache?.get(node.path, node);
    const digest = known ?? this.#note(node, this.#now(), yield* this.#digester.digestSlowly(this.tree, node));
    this.#digests.set(node.path, digest);
    return digest;
  }

  #compute(node: FileNode): Digest {
    if (node.path === '/' && !this.#hasRootHeader) return this.#contextHeader();
    const cached = this.#cache?.get(node.path, node);
    if (cached !== undefined) return cached;
    return this.#note(node, this.#now(), this.#digester.digest(this.tree, node));
  }

  /** BuildKit notes the root of a context when it hears of the first file in it; without any it looks at its own copy. */
  #contextHeader(): Digest {
    return this.tree.list('/').length === 0 ? NEW_DIRECTORY_HEADER : EMPTY_DIGEST;
  }

  /** `recordedAtMs`: before the bytes were read. */
  #note(
    node: FileNode,
    recordedAtMs: number,
    { digest, isStable }: { readonly digest: Digest; readonly isStable: boolean },
  ): Digest {
    this.#bytesRead += node.size;
    if (!isStable || node.ctimeMs > recordedAtMs - RACY_MS) this.#doubtful.add(node.path);
    if (isStable) this.#cache?.put(node.path, node, digest, recordedAtMs);
    return digest;
  }
}
