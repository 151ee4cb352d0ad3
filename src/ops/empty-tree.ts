// The tree with nothing in it: what scratch is to a COPY --from.
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { splitPath } from '../snapshot/tree-path.ts';

const ROOT: FileNode = {
  path: '/',
  hostPath: '',
  type: 'dir',
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeMs: 0,
  ctimeMs: 0,
  dev: 0,
  ino: 0,
  nlink: 1,
  rdev: { major: 0, minor: 0 },
  linkTarget: '',
};

/** A root directory of mode 0755 without entries. */
export const EMPTY_TREE: FileTree = {
  lookup: (path) => (splitPath(path).length === 0 ? ROOT : undefined),
  list: () => [],
  xattrs: () => [],
};
