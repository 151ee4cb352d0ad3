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

interface ManifestEntry {
  readonly digest: string;
  readonly mtimeMs: string;
  readonly ctimeMs: string;
}

export interface SnapshotReuseOptions {
  /** Directory of the pointer files, on any file system. */
  readonly directory: string;
  /** Stands for the instruction, where it reads from, and the owner it gives. */
  readonly identity: Digest;
  /** The active snapshot's upper directory. */
  readonly upperDir: string;
}

/** One run of one copy. Nothing here is needed for a right result: every failure means a plain copy. */
export class SnapshotReuse {
  readonly #options: SnapshotReuseOptions;
  readonly #earlierDir: string | undefined;
  readonly #earlier: ReadonlyMap<string, ManifestEntry>;
  readonly #entries = new Map<string, ManifestEntry>();

  constructor(options: SnapshotReuseOptions) {
    this.#options = options;
    this.#earlierDir = readText(this.#pointerPath());
    this.#earlier = this.#earlierDir === undefined ? new Map() : readManifest(this.#earlierDir, options.identity);
  }

  /** The part of one source tree. */
  for(digests: SourceDigests): FileReuse {
    return {
      link: (node, target, hostPath) => this.#link(digests, node, target, hostPath),
      record: (node, target) => this.#record(digests, node, target),
      forget: (target) => this.#entries.delete(target),
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
    for (const [path, { digest, mtimeMs, ctimeMs }] of this.#entries) fields.push(path, digest, mtimeMs, ctimeMs);
    return fields.join('\0');
  }

  #pointerPath(): string {
    return join(this.#options.directory, digestHex(this.#options.identity));
  }

  #link(digests: SourceDigests, node: FileNode, target: string, hostPath: string): boolean {
    const earlier = this.#earlier.get(target);
    if (earlier === undefined || earlier.mtimeMs !== String(node.mtimeMs)) return false;
    if (earlier.digest !== digests.of(node)) return false;
    if (earlier.ctimeMs !== String(node.ctimeMs) && hasUndigestedXattrs(digests.tree, node)) return false;
    if (!tryLink(`${this.#earlierDir}/fs${target}`, hostPath)) return false;
    this.#record(digests, node, target);
    return true;
  }

  #record(digests: SourceDigests, node: FileNode, target: string): void {
    this.#entries.set(target, {
      digest: digests.of(node),
      mtimeMs: String(node.mtimeMs),
      ctimeMs: String(node.ctimeMs),
    });
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

function readManifest(directory: string, identity: Digest): ReadonlyMap<string, ManifestEntry> {
  const fields = readText(join(directory, MANIFEST))?.split('\0') ?? [];
  const entries = new Map<string, ManifestEntry>();
  // Names of snapshots may come back after a collection: then the manifest is another copy's.
  if (fields[0] !== VERSION || fields[1] !== identity) return entries;
  for (let at = HEAD_FIELDS; at + FIELDS <= fields.length; at += FIELDS) {
    const [path = '', digest = '', mtimeMs = '', ctimeMs = ''] = fields.slice(at, at + FIELDS);
    entries.set(path, { digest, mtimeMs, ctimeMs });
  }
  return entries;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
