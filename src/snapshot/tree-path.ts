// Paths within a tree of files: absolute, with slashes, `..` stopping at the root, links resolved inside.
import { TsbuildError } from '../../solver/errors.ts';

/** The components of a path, `.` and empty ones dropped and `..` applied; none for the root. */
export function splitPath(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts;
}

/** The path as an absolute one without `.`, `..`, doubled or trailing slashes. */
export function cleanPath(path: string): string {
  return `/${splitPath(path).join('/')}`;
}

/** `name` in `directory`, both clean. */
export function joinPath(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`;
}

/** The directory that holds a clean path; the root for the root. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

/** The last component; empty for the root. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

const LINK_LIMIT = 255;

/** Where links lead: `readLink` gives the target of a path that is a symbolic link, undefined for all else. */
export function resolveInside(
  path: string,
  readLink: (path: string) => string | undefined,
  options: { readonly followLast: boolean },
): string {
  const pending = path.split('/').reverse();
  let resolved = '/';
  let links = 0;
  while (pending.length > 0) {
    const part = pending.pop() ?? '';
    if (part === '' || part === '.') continue;
    if (part === '..') {
      resolved = parentPath(resolved);
      continue;
    }
    const next = joinPath(resolved, part);
    const isLast = !pending.some((rest) => rest !== '');
    const target = isLast && !options.followLast ? undefined : readLink(next);
    if (target === undefined) {
      resolved = next;
      continue;
    }
    if (++links > LINK_LIMIT) throw new TsbuildError('TSB_PATH_LINK_LOOP', `too many symbolic links in "${path}"`);
    if (target.startsWith('/')) resolved = '/';
    pending.push(...target.split('/').reverse());
  }
  return resolved;
}
