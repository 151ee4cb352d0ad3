// Directories made one by one: Node's recursive mkdir never ends where a file system takes none, as below /proc.
import { lstatSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Makes the directory and those above it that are missing. What was made is in `made`, the topmost first, also when it fails. */
export function makeDirectories(path: string, made: string[] = [], mode = 0o777): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return;
  makeDirectories(dirname(path), made, mode);
  try {
    mkdirSync(path, mode);
    made.push(path);
  } catch (error) {
    // Another process was faster.
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    if (!isThere || !statSync(path).isDirectory()) throw error;
  }
}
