// Snapshots: directories of changes that stack up to a root filesystem.
//
// Words. A snapshot is *active* while it is being written and *committed* ever after; only a committed one can be a
// parent. Each has one directory of changes (an overlayfs upper directory: whiteouts are character devices 0:0, opaque
// directories carry the overlay xattr). A *stack* is the directories from a snapshot up to its oldest parent, newest
// first: overlayfs's order of lowerdirs. Two snapshots may share a directory: a merge puts the changes of one stack on
// top of another without copying a byte.
//
// Lifecycle. `prepare` makes an empty active snapshot on a parent, owned by this process; `commit` turns it into a
// committed one in one transaction; `discard` removes it. When the owning process dies first, the next process that
// opens the store removes it, unless it was `keep`-ed as the state of a failed step.
//
// Worked example. `FROM base` finds `a`, the last layer of base, by its chainID. `RUN x` prepares an active snapshot on
// `a`, runs in an overlay of its upperDir over its lowerDirs, and commits it as `b`: chain(b) ends in a, b. `COPY --link`
// prepares on nothing, commits `c`, and stacks it: stackOn(b, c) is `d`, whose chain ends in a, b, d and whose own
// directory is c's. A layer is the difference of a directory from what it was committed on, wherever it is stacked: c's
// layer is d's too, and a diffID set or asked for by either name is the same.
import type { Digest } from '../../solver/digest.ts';

/** Name of a committed snapshot: opaque, short, unique in the store. */
export type SnapshotName = string;

/** Its owner alone writes into `upperDir`; `key` finds it again. */
export interface ActiveSnapshot {
  readonly key: string;
  readonly parent: SnapshotName | undefined;
  /** Directory of changes: overlayfs's upperdir. */
  readonly upperDir: string;
  /** Overlayfs's workdir, on the same file system. */
  readonly workDir: string;
  /** Stack of the parent, newest first; empty on scratch. */
  readonly lowerDirs: readonly string[];
}

/** What the layer tar of a snapshot's own directory came to. */
export interface LayerSum {
  readonly diffID: Digest;
  /** Bytes of the uncompressed tar. */
  readonly sizeBytes: number;
}

/** For what was made elsewhere, or can be found by what it is. */
export interface CommitOptions {
  readonly chainID?: string;
  /** UTC, ms since the epoch; default now. */
  readonly createdAtMs?: number;
}

/** All methods are synchronous and safe to call from several processes at once. */
export interface Snapshotter {
  prepare(parent: SnapshotName | undefined): ActiveSnapshot;
  /** Idempotent per key. Returns the committed name. With `chainID` the snapshot can be found by it; when another process committed the same chainID first, that one's name is returned and this one discarded. `createdAtMs` is when it was made elsewhere. */
  commit(active: ActiveSnapshot, options?: CommitOptions): SnapshotName;
  /** Idempotent; a committed snapshot stays. */
  discard(active: ActiveSnapshot): void;
  /** Keeps an active snapshot beyond this process, for `tsbuild debug`. */
  keep(active: ActiveSnapshot): void;
  /** The active snapshot with that key, such as one that was kept; undefined when there is none. */
  reopen(key: string): ActiveSnapshot | undefined;
  /** A committed snapshot with the changes of `changes` (only its own directory) on `parent`; costs one record. */
  stackOn(parent: SnapshotName | undefined, changes: SnapshotName): SnapshotName;
  findByChainID(chainID: string): SnapshotName | undefined;
  exists(name: SnapshotName): boolean;
  parentOf(name: SnapshotName): SnapshotName | undefined;
  /** When it was committed or stacked: UTC, ms since the epoch. Throws TSB_SNAPSHOT_NOT_FOUND. */
  createdAtMs(name: SnapshotName): number;
  /** Directories newest first, each once. Throws TSB_SNAPSHOT_NOT_FOUND. */
  stack(name: SnapshotName): readonly string[];
  /** Names from the oldest parent to the snapshot itself: one layer each. */
  chain(name: SnapshotName): readonly SnapshotName[];
  /** The directory with the snapshot's own changes. Throws TSB_SNAPSHOT_NOT_FOUND. */
  changesDir(name: SnapshotName): string;
  /** The directories whose difference is the snapshot's layer: its own, and those it was committed on, newest first. */
  layerDirs(name: SnapshotName): { readonly upperDir: string; readonly lowerDirs: readonly string[] };
  /** Remembers the layer made of the snapshot's own directory, for every snapshot that shares it. */
  setDiffID(name: SnapshotName, diffID: Digest, sizeBytes: number): void;
  diffIDOf(name: SnapshotName): LayerSum | undefined;
}
