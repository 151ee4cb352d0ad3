// PATH as programs are looked up by it.
import { delimiter, isAbsolute } from 'node:path';

/** Without what means the current directory, which may hold others' files: an empty name, `.`, any relative path. */
export function absoluteSearchPath(path: string): string {
  const directories = path.split(delimiter).filter(isAbsolute);
  // An empty PATH would mean the current directory, too.
  return directories.length === 0 ? '/usr/bin:/bin' : directories.join(delimiter);
}
