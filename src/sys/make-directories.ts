// Directories with their parents.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { codeOf } from './error-code.ts';

/**
 * Makes the directory and the parents it lacks; one that is there stays as it is. Throws as `mkdirSync` does.
 * Node's own recursive form never ends where a directory cannot be made though its parent is there, as in /proc.
 */
export function makeDirectories(path: string, mode = 0o777): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    const parent = dirname(path);
    if (codeOf(error) !== 'ENOENT' || parent === path) throw error;
    makeDirectories(parent, mode);
    mkdirSync(path, { mode });
  }
}
