// Files that an earlier run of the same copy has already put into a snapshot are linked from there instead of copied.
//
// A committed snapshot is never written again, and overlayfs copies a file up before it is written; so two snapshots can
// share an inode. A file is shared when path, content digest, times and attributes are equal. What a snapshot holds is
// told by its *manifest*, a file beside its directory; a *pointer* file leads from the copy's identity to the newest one.
import { linkSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Digest, digestHex } from '../../solver/digest.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import type { SourceDigests } from './source-digests.ts';

/** What a copier asks for each regular file. */
export interface FileReuse {
  /** Links the file from an earlier result; false when there is none that is equal. */
  link(node: FileNode, target: string, hostPath: string): boolean;
  /** Remembers what is now at the target; the node's digest is known. */
  record(node: FileNode, target: string): void;
  /** Something else is now at the target. */
  forget(target: string): void;
}

const MANIFEST = 'manifest';
const VERSION = 'tsbuild-manifest-1';
const HEAD_FIELDS = 2;
const FIELDS = 4;

interface SnapshotReuseOptions {
  /** Directory of the pointer files, on any file system. */
  readonly directory: string;
  /** Stands for the instruction, where it reads from, and the owner it gives. */
  readonly identity: Digest;
  /** The active snapshot's upper directory. */
  readonly upperDir: string;
}

/** One run of one copy. Nothing here is needed for a right result: what cannot be found or linked is copied. */
export class SnapshotReuse {
  readonly #options: SnapshotReuseOptions;
  readonly #earlierDir: string | undefined;
  readonly #earlier: Manifest;
  /** What is now at each target, by the tree it came from. */
  readonly #copied = new Map<SourceDigests, Map<string, FileNode>>();

  constructor(options: SnapshotReuseOptions) {
    this.#options = options;
    this.#earlierDir = readText(this.#pointerPath());
    this.#earlier = readManifest(this.#earlierDir, options.identity);
  }

  /** The part of one source tree. */
  for(digests: SourceDigests): FileReuse {
    const copied = this.#copied.get(digests) ?? new Map<string, FileNode>();
    this.#copied.set(digests, copied);
    return {
      link: (node, target, hostPath) => {
        const isLinked = this.#link(digests, node, target, hostPath);
        if (isLinked) copied.set(target, node);
        return isLinked;
      },
      record: (node, target) => copied.set(target, node),
      forget: (target) => {
        for (const other of this.#copied.values()) other.delete(target);
      },
    };
  }

  /** Writes the manifest beside the snapshot and makes it the newest; call before the snapshot is committed. */
  save(): void {
    const base = dirname(this.#options.upperDir);
    writeFileSync(join(base, MANIFEST), this.#manifestText());
    mkdirSync(this.#options.directory, { recursive: true });
    const temporary = `${this.#pointerPath()}.${process.pid}`;
    writeFileSync(temporary, base);
    renameSync(temporary, this.#pointerPath());
  }

  #manifestText(): string {
    const fields: string[] = [VERSION, this.#options.identity];
    for (const [digests, copied] of this.#copied) {
      for (const [target, node] of copied) {
        fields.push(target, digests.of(node), String(node.mtimeMs), String(node.ctimeMs));
      }
    }
    return fields.join('\0');
  }

  #pointerPath(): string {
    return join(this.#options.directory, digestHex(this.#options.identity));
  }

  #link(digests: SourceDigests, node: FileNode, target: string, hostPath: string): boolean {
    const at = this.#earlier.find(target);
    if (at === undefined) return false;
    const [, digest, mtimeMs, ctimeMs] = this.#earlier.fields.slice(at, at + FIELDS);
    if (mtimeMs !== String(node.mtimeMs) || digest !== digests.of(node)) return false;
    if (ctimeMs !== String(node.ctimeMs) && hasUndigestedXattrs(digests.tree, node)) return false;
    return tryLink(`${this.#earlierDir}/fs${target}`, hostPath);
  }
}

/** Entries of FIELDS fields each, after the head. Walks come in the order in which entries were saved. */
class Manifest {
  readonly fields: readonly string[];
  #next = HEAD_FIELDS;
  #places: Map<string, number> | undefined;

  constructor(fields: readonly string[]) {
    this.fields = fields;
  }

  /** Where the target's entry begins. */
  find(target: string): number | undefined {
    const at = this.fields[this.#next] === target ? this.#next : this.#placeOf(target);
    if (at !== undefined) this.#next = at + FIELDS;
    return at;
  }

  #placeOf(target: string): number | undefined {
    if (this.#places === undefined) {
      this.#places = new Map();
      for (let at = HEAD_FIELDS; at < this.fields.length; at += FIELDS) this.#places.set(this.fields[at] ?? '', at);
    }
    return this.#places.get(target);
  }
}

function hasUndigestedXattrs(tree: FileTree, node: FileNode): boolean {
  return tree.xattrs(node).some(([name]) => name.startsWith('system.') || name.startsWith('security.'));
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(toFsPath(from), toFsPath(to));
    return true;
  } catch {
    // Gone, too many links, another file system: all the same to the caller.
    return false;
  }
}

function readManifest(directory: string | undefined, identity: Digest): Manifest {
  const fields = directory === undefined ? [] : (readText(join(directory, MANIFEST))?.split('\0') ?? []);
  // Names of snapshots may come back after a collection: then the manifest is another copy's.
  const isOurs = fields[0] === VERSION && fields[1] === identity;
  return new Manifest(isOurs ? fields : []);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
