// Paths with slashes, cleaned as Go's path.Clean does; those inside images are joined to a working directory.
import { posix } from 'node:path';

/** The absolute path, cleaned: `..` cannot leave the root and no slash is left at the end. */
export function absolutePath(parent: string, path: string): string {
  return cleanPath(path.startsWith('/') ? `/${path}` : `/${parent}/${path}`);
}

/** The path without `.`, `..` that can be applied and needless slashes, as Go's path.Clean leaves it; `.` for nothing. */
export function cleanPath(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

/** The same for a destination, where `dir/` and `dir/.` say that it is a directory. */
export function destinationPath(workdir: string, path: string): string {
  const asWritten = path === '' || path === '.' ? './' : path;
  const absolute = absolutePath(workdir, asWritten);
  if (asWritten.endsWith('/')) return absolute === '/' ? '/' : `${absolute}/`;
  if (asWritten.endsWith('/.')) return absolute === '/' ? '/.' : `${absolute}/.`;
  return absolute;
}

/** True for a path whose `..` would leave the root. */
export function leadsOut(path: string): boolean {
  return /^\.\.(\/|$)/.test(posix.normalize(path.replace(/^\/+/, '')));
}

/** The last part of a cleaned path, `/` for the root. */
export function baseName(path: string): string {
  return posix.basename(path) || '/';
}
