// A tree of files that can be read by path: a build context with its ignored files left out, or a stack of snapshots.
// Paths are absolute within the tree ("/" is its root) and never leave it: `..` stops at the root and symbolic links
// are resolved inside.

/** All that Linux has; a whiteout is none, it is the lack of a file. */
export type FileType = 'file' | 'dir' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket';

/** A file as it was when it was looked at. */
export interface FileNode {
  /** Absolute path within the tree, links resolved up to the last component. */
  readonly path: string;
  /** Where its bytes are on the host; open it with O_NOFOLLOW and never resolve through it. */
  readonly hostPath: string;
  readonly type: FileType;
  /** Permission bits with setuid, setgid, sticky (12 bits). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; 0 for what is not a regular file. */
  readonly size: number;
  /** ms since the epoch with fractions. */
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly dev: number;
  readonly ino: number;
  readonly nlink: number;
  /** For char and block. */
  readonly rdev: { readonly major: number; readonly minor: number };
  /** For symlink. */
  readonly linkTarget: string;
}

/** All methods are synchronous: a tree is on this machine's disk, and an awaited stat costs ten times a plain one. */
export interface FileTree {
  /** The entry at the path, parents' links followed inside the tree, the last component followed only when asked. */
  lookup(path: string, options?: { readonly followLast?: boolean }): FileNode | undefined;
  /** Entries of a directory in byte order of their names; throws when `path` is no directory. */
  list(path: string): readonly FileNode[];
  /** Extended attributes of a node, sorted by name; without overlayfs's own. */
  xattrs(node: FileNode): readonly (readonly [name: string, value: Uint8Array])[];
}
