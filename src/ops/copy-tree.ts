// Copies one source, a file or a directory with all below it, into an upper directory, as github.com/tonistiigi/fsutil/copy
// does for BuildKit.
//
// Words. A directory is *fresh* when this copy has made it: then nothing is in it yet, and entries are created without
// looking. A *pending* directory is one that the include patterns did not choose by itself: it is made once something
// below it is copied.
import { linkSync } from 'node:fs';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { joinPath } from '../snapshot/root-view.ts';
import type { UpperWriter } from '../snapshot/upper-writer.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import { cannotCopyOverFile, cannotReplaceDirectory } from './copy-errors.ts';
import { type EntryAttributes, type FileWriter, setAttributes, writeSpecial } from './file-writer.ts';
import type { Owner } from './owner.ts';
import type { PathFilter, PathFilterState } from './path-filter.ts';
import type { FileReuse } from './reuse.ts';
import type { SourceDigests } from './source-digests.ts';
import { baseName } from './tree-path.ts';

/** What a copied entry's mode becomes. */
export type MapMode = (mode: number, isDirectory: boolean) => number;

export interface CopyTreeOptions {
  readonly tree: FileTree;
  readonly writer: UpperWriter;
  /** The writer's upper directory. */
  readonly upperDir: string;
  readonly files: FileWriter;
  readonly digests: SourceDigests;
  readonly reuse?: FileReuse;
  readonly owner?: Owner;
  readonly mapMode?: MapMode;
  readonly include?: PathFilter;
  readonly exclude?: PathFilter;
  /** Whatever is in the way is replaced, except a directory by a directory. */
  readonly replacesExisting: boolean;
  readonly signal: AbortSignal;
}

/** A source directory and what has become of it at the destination. */
interface TargetDirectory {
  readonly node: FileNode;
  readonly path: string;
  readonly isTop: boolean;
  readonly parent: TargetDirectory | undefined;
  readonly includeState: PathFilterState | undefined;
  readonly excludeState: PathFilterState | undefined;
  isPending: boolean;
  isFresh: boolean;
}

/** See above. One copier for each source, since hard links are kept within one copy. */
export class TreeCopier {
  readonly #options: CopyTreeOptions;
  readonly #links = new Map<string, string>();

  constructor(options: CopyTreeOptions) {
    this.#options = options;
  }

  /** Copies the node to exactly that path, whose directory exists. */
  copy(node: FileNode, target: string): void {
    if (node.type === 'dir') this.#copyDirectory(node, target, '', undefined, true);
    else this.#copyEntry(node, target, undefined);
  }

  #copyDirectory(
    node: FileNode,
    path: string,
    relative: string,
    parent: TargetDirectory | undefined,
    isSelected: boolean,
    states: Pick<TargetDirectory, 'includeState' | 'excludeState'> = NO_STATES,
  ): void {
    this.#options.signal.throwIfAborted();
    const directory = { node, path, isTop: parent === undefined, parent, ...states, isPending: true, isFresh: false };
    if (isSelected) this.#make(directory);
    for (const child of this.#options.tree.list(node.path)) this.#copyChild(child, relative, directory);
    if (!directory.isPending) this.#finish(directory);
  }

  #copyChild(node: FileNode, parentRelative: string, parent: TargetDirectory): void {
    const name = baseName(node.path);
    const target = joinPath(parent.path, name);
    const { include, exclude } = this.#options;
    if (include === undefined && exclude === undefined) {
      if (node.type === 'dir') this.#copyDirectory(node, target, '', parent, true);
      else this.#copyEntry(node, target, parent);
      return;
    }
    const relative = parentRelative === '' ? name : `${parentRelative}/${name}`;
    const included = include?.step(relative, parent.includeState);
    const excluded = exclude?.step(relative, parent.excludeState);
    const isSelected = included?.isMatch !== false && excluded?.isMatch !== true;
    if (node.type === 'dir') {
      const states = { includeState: included?.state, excludeState: excluded?.state };
      this.#copyDirectory(node, target, relative, parent, isSelected, states);
    } else if (isSelected) this.#copyEntry(node, target, parent);
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

  #copyEntry(node: FileNode, target: string, parent: TargetDirectory | undefined): void {
    if (parent !== undefined) this.#make(parent);
    const hostPath = parent?.isFresh === true ? this.#options.upperDir + target : this.#place(target);
    if (node.type !== 'file') {
      writeSpecial(this.#options.tree, node, hostPath, this.#attributes(node));
    } else if (!this.#linkToEarlier(node, hostPath)) {
      this.#copyFile(node, target, hostPath);
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

  #copyFile(node: FileNode, target: string, hostPath: string): void {
    const { tree, files, digests, reuse } = this.#options;
    if (reuse?.link(node, target, hostPath) === true) return;
    // Before the copy, so that the copy is verified against it.
    if (reuse !== undefined) digests.of(node);
    const { isUnchanged } = files.writeFile(tree, node, hostPath, this.#attributes(node));
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

const NO_STATES = { includeState: undefined, excludeState: undefined } as const;
