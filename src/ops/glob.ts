// Wildcards of COPY and ADD sources: Go's filepath.Match, applied component by component.
// https://pkg.go.dev/path/filepath#Match: `*` and `?` stop at a slash, `[^a-z]` negates, a backslash escapes; there is no `**`.
import { isQuicklyMatched, matchSteps, parseGlob, tokenSource } from '../../frontend/match-glob.ts';
import { hasWildcard } from '../../solver/content-selector.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { baseName, cleanPath, joinPath, splitPath } from '../snapshot/tree-path.ts';

/** The path up to its first component with a wildcard, and the components from there on. */
export function splitWildcards(path: string): { readonly prefix: string; readonly patterns: readonly string[] } {
  const parts = splitPath(path);
  const first = parts.findIndex(hasWildcard);
  if (first < 0) return { prefix: cleanPath(path), patterns: [] };
  return { prefix: `/${parts.slice(0, first).join('/')}`, patterns: parts.slice(first) };
}

/** A matcher for one component; throws TSB_DOCKERFILE_PATTERN. */
function compileGlob(pattern: string): (name: string) => boolean {
  const tokens = parseGlob(pattern);
  if (!isQuicklyMatched(tokens)) return (name) => matchSteps(tokens, name);
  const expression = new RegExp(`^${tokens.map(tokenSource).join('')}$`, 'su');
  return (name) => expression.test(name);
}

/**
 * The entries below `base` that the patterns match, one pattern for each level, in byte order of their paths.
 * Links are not followed on the way. `relative` is the path below the base.
 */
export function matchBelow(
  tree: FileTree,
  base: string,
  patterns: readonly string[],
): readonly { readonly node: FileNode; readonly relative: string }[] {
  const globs = patterns.map(compileGlob);
  const matches: { node: FileNode; relative: string }[] = [];
  const descend = (directory: string, relative: string, level: number): void => {
    const glob = globs[level];
    if (glob === undefined) return;
    for (const node of tree.list(directory)) {
      const name = baseName(node.path);
      if (!glob(name)) continue;
      const path = relative === '' ? name : `${relative}/${name}`;
      if (level === globs.length - 1) matches.push({ node, relative: path });
      else if (node.type === 'dir') descend(joinPath(directory, name), path, level + 1);
    }
  };
  descend(base, '', 0);
  return matches;
}
