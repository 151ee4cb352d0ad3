// Which paths of an input count by content, in the form and order in which BuildKit hashes them.
import type { ContentSelector } from './op-runner.ts';

/** Compares text by its UTF-8 bytes, as Go compares strings. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Sorted, without paths that lie below another of the list. */
export function outermostPaths(paths: readonly string[]): readonly string[] {
  const distinct = [...new Set(paths)];
  return distinct.filter((path) => !distinct.some((other) => isBelow(path, other))).sort(compareBytes);
}

/** Plain selectors reduced to the outermost paths, those with patterns kept as they are, all sorted by path. */
export function deduplicateSelectors(selectors: readonly ContentSelector[]): readonly ContentSelector[] {
  const plain = selectors.filter((selector) => !hasPatterns(selector));
  const notFollowed = outermostPaths(plain.filter((selector) => !selector.followLinks).map(({ path }) => path));
  const followed = outermostPaths(plain.filter((selector) => selector.followLinks).map(({ path }) => path));
  return [
    ...notFollowed.map((path) => ({ path, wildcard: false, followLinks: false })),
    ...followed.map((path) => ({ path, wildcard: false, followLinks: true })),
    ...selectors.filter(hasPatterns),
  ].sort((a, b) => compareBytes(a.path, b.path));
}

/** True when the path has `*`, `?` or `[` that no backslash takes the meaning from. */
export function hasWildcard(path: string): boolean {
  return /[*?[]/.test(path.replace(/\\./gs, ''));
}

function hasPatterns(selector: ContentSelector): boolean {
  const lists = [selector.includePatterns, selector.excludePatterns, selector.requiredPaths];
  return selector.wildcard || lists.some((list) => (list ?? []).length > 0);
}

function isBelow(path: string, other: string): boolean {
  return path !== other && path.startsWith(other.endsWith('/') ? other : `${other}/`);
}
