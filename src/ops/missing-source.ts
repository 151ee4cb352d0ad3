// Why a source is not in the build context: a typing error, or the ignore file.
import { suggest } from '../../frontend/suggest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { FileTree } from '../snapshot/file-tree.ts';
import { baseName, cleanPath, parentPath } from '../snapshot/tree-path.ts';
import { ContextTree } from './build-context.ts';

/** The error with a hint, if it is about a missing source and one can be given; else as it is. */
export function explainMissing(error: unknown, tree: FileTree): unknown {
  if (!(error instanceof TsbuildError) || error.code !== 'TSB_COPY_SOURCE_NOT_FOUND') return error;
  const path = /^"(.*)": not found$/s.exec(error.message)?.[1];
  const hint = path === undefined || error.hint !== undefined ? undefined : hintFor(tree, path);
  return hint === undefined ? error : new TsbuildError(error.code, error.message, { hint, cause: error.cause });
}

function hintFor(tree: FileTree, path: string): string | undefined {
  return ignoredHint(tree, path) ?? nearHint(tree, cleanPath(path));
}

function ignoredHint(tree: FileTree, path: string): string | undefined {
  const excluding = tree instanceof ContextTree ? tree.excludedBy(cleanPath(path)) : undefined;
  if (excluding === undefined) return undefined;
  return `line ${excluding.line} of the ignore file excludes it: ${excluding.pattern}`;
}

/** The nearest name in the deepest directory of the path that is there. */
function nearHint(tree: FileTree, path: string): string | undefined {
  if (path === '/') return undefined;
  const parent = parentPath(path);
  const directory = tree.lookup(parent, { followLast: true });
  if (directory === undefined) return nearHint(tree, parent);
  if (directory.type !== 'dir') return `"${parent}" is not a directory`;
  const names = tree.list(directory.path).map((node) => baseName(node.path));
  const near = suggest(baseName(path), names, { ignoreCase: false });
  return near === undefined ? undefined : `did you mean "${relative(parent, near)}"?`;
}

/** As a Dockerfile names it: relative to the build context. */
function relative(parent: string, name: string): string {
  return parent === '/' ? name : `${parent.slice(1)}/${name}`;
}
