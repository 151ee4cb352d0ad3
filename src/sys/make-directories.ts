// Directories with their parents.
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { codeOf } from './error-code.ts';

/**
 * Makes the directory and the parents it lacks; one that is there stays as it is. Throws as `mkdirSync` does. What was
 * made is in `made`, the topmost first, also when it throws.
 * Node's own recursive form never ends where a directory cannot be made though its parent is there, as in /proc.
 */
export function makeDirectories(path: string, mode = 0o777, made: string[] = []): void {
  if (makeOne(path, mode, made)) return;
  makeDirectories(dirname(path), mode, made);
  mkdirOrThrow(path, mode, made);
}

/** False when a parent is missing. */
function makeOne(path: string, mode: number, made: string[]): boolean {
  try {
    mkdirOrThrow(path, mode, made);
    return true;
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
    return false;
  }
}

function mkdirOrThrow(path: string, mode: number, made: string[]): void {
  try {
    mkdirSync(path, { mode });
    made.push(path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}
