// Copies one source, a file or a directory with all below it, into an upper directory, as github.com/tonistiigi/fsutil/copy
// does for BuildKit.
//
// Words. A directory is *fresh* when this copy has made it: then nothing is in it yet, and entries are created without
// looking. A *pending* directory is one that the include patterns did not choose by itself: it is made once something
// below it is copied.
import { linkSync } from 'node:fs';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { baseName, joinPath } from '../snapshot/tree-path.ts';
import type { UpperWriter } from '../snapshot/upper-writer.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import type { Slices } from '../sys/turns.ts';
import type { FileOwner } from '../sys/recorded-owner.ts';
import { cannotCopyOverFile, cannotReplaceDirectory } from './copy-errors.ts';
import { type EntryAttributes, type FileWriter, setAttributes, writeSpecial } from './file-writer.ts';
import type { DirectorySelection } from './path-filter.ts';
import type { FileReuse } from './reuse.ts';
import type { SourceDigests } from './source-digests.ts';

/** What a copied entry's mode becomes. */
export type MapMode = (mode: number, isDirectory: boolean) => number;

interface CopyTreeOptions {
  readonly tree: FileTree;
  readonly writer: UpperWriter;
  /** The writer's upper directory. */
  readonly upperDir: string;
  readonly files: FileWriter;
  readonly digests: SourceDigests;
  readonly reuse?: FileReuse;
  readonly owner?: FileOwner;
  readonly mapMode?: MapMode;
  /** What of a source directory is wanted; all when absent. */
  readonly selection?: DirectorySelection;
  /** Whatever is in the way is replaced, except a directory by a directory. */
  readonly replacesExisting: boolean;
}

/** A source directory and what has become of it at the destination. */
interface TargetDirectory {
  readonly node: FileNode;
  readonly path: string;
  readonly isTop: boolean;
  readonly parent: TargetDirectory | undefined;
  readonly selection: DirectorySelection | undefined;
  isPending: boolean;
  isFresh: boolean;
}

/** A few files take less than a millisecond. */
const PAUSE_FILES = 16;

/** See above. One copier for each source, since hard links are kept within one copy. */
export class TreeCopier {
  readonly #options: CopyTreeOptions;
  readonly #links = new Map<string, string>();
  #copied = 0;

  constructor(options: CopyTreeOptions) {
    this.#options = options;
  }

  /** Copies the node to exactly that path, whose directory exists. Pauses now and then, also within a large file. */
  *copy(node: FileNode, target: string): Slices<void> {
    if (node.type !== 'dir') yield* this.#copyEntry(node, target, undefined);
    else yield* this.#copyDirectory(node, target, undefined, this.#options.selection);
  }

  *#copyDirectory(
    node: FileNode,
    path: string,
    parent: TargetDirectory | undefined,
    selection: DirectorySelection | undefined,
  ): Slices<void> {
    const isTop = parent === undefined;
    const directory = { node, path, isTop, parent, selection, isPending: true, isFresh: false };
    // The source itself is wanted whatever the patterns say.
    if (isTop || selection?.isSelected !== false) this.#make(directory);
    for (const child of this.#options.tree.list(node.path)) {
      const name = baseName(child.path);
      const target = joinPath(path, name);
      if (child.type === 'dir') yield* this.#copyDirectory(child, target, directory, selection?.enter(name));
      else if (selection?.selects(name) !== false) {
        yield* this.#copyEntry(child, target, directory);
        this.#copied += 1;
        if (this.#copied % PAUSE_FILES === 0) yield;
      }
    }
    if (!directory.isPending) this.#finish(directory);
  }

  /** Makes the directory, and before it those above that were pending. */
  #make(directory: TargetDirectory): void {
    if (!directory.isPending) return;
    if (directory.parent !== undefined) this.#make(directory.parent);
    directory.isPending = false;
    const { writer, replacesExisting } = this.#options;
    const existing = directory.parent?.isFresh === true ? undefined : writer.view.lookup(directory.path);
    if (existing?.type === 'dir') return;
    if (existing !== undefined && !replacesExisting) throw cannotCopyOverFile(directory.path);
    if (existing !== undefined) this.#options.reuse?.forget(directory.path);
    writer.ensureDir(directory.path, { mode: 0o700, uid: 0, gid: 0 }, { followLast: false, replaceFile: true });
    directory.isFresh = true;
  }

  /** Last, since making entries changes a directory's times. An existing destination itself keeps mode and owner. */
  #finish(directory: TargetDirectory): void {
    const { tree, writer } = this.#options;
    const { node, path } = directory;
    if (directory.isFresh || !directory.isTop) {
      setAttributes(tree, node, writer.copyUp(path), this.#attributes(node));
    }
    writer.setDirTime(path, node.mtimeMs);
  }

  *#copyEntry(node: FileNode, target: string, parent: TargetDirectory | undefined): Slices<void> {
    if (parent !== undefined) this.#make(parent);
    const hostPath = parent?.isFresh === true ? this.#options.upperDir + target : this.#place(target);
    if (node.type !== 'file') {
      writeSpecial(this.#options.tree, node, hostPath, this.#attributes(node));
    } else if (!this.#linkToEarlier(node, hostPath)) {
      yield* this.#copyFile(node, target, hostPath);
    }
  }

  #place(target: string): string {
    const { writer, replacesExisting, reuse } = this.#options;
    reuse?.forget(target);
    try {
      return writer.place(target, { replaceDir: replacesExisting });
    } catch (cause) {
      throw cannotReplaceDirectory(target, cause);
    }
  }

  /** True when the file is another name of one copied before. */
  #linkToEarlier(node: FileNode, hostPath: string): boolean {
    if (node.nlink < 2) return false;
    const key = `${node.dev}:${node.ino}`;
    const earlier = this.#links.get(key);
    if (earlier === undefined) {
      this.#links.set(key, hostPath);
      return false;
    }
    linkSync(toFsPath(earlier), toFsPath(hostPath));
    return true;
  }

  *#copyFile(node: FileNode, target: string, hostPath: string): Slices<void> {
    const { tree, files, digests, reuse } = this.#options;
    // Before the copy, so that the copy is verified against it.
    if (reuse !== undefined) yield* digests.inSlices(node);
    if (reuse?.link(node, target, hostPath) === true) return;
    const { isUnchanged } = yield* files.writeFile(tree, node, hostPath, this.#attributes(node));
    digests.verifyCopy(node, hostPath, isUnchanged);
    reuse?.record(node, target);
  }

  #attributes(node: FileNode): EntryAttributes {
    const { owner, mapMode } = this.#options;
    return {
      mode: mapMode === undefined ? node.mode : mapMode(node.mode, node.type === 'dir'),
      uid: owner?.uid ?? node.uid,
      gid: owner?.gid ?? node.gid,
    };
  }
}
