// Removes directory trees, with an end to the time spent on it.
import { chmodSync, type Dirent, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { codeOf } from '../sys/error-code.ts';

/**
 * Removes the tree; true when it is gone, false when the deadline came first or something in it may not be removed.
 * Another process may remove the same tree at the same time. `now` and `deadlineMs` share their clock.
 */
export function removeTree(path: string, deadlineMs: number, now: () => number): boolean {
  if (now() > deadlineMs) return false;
  try {
    const entries = listEntries(path);
    if (entries === undefined) return true;
    for (const entry of entries) {
      const child = `${path}/${entry.name}`;
      if (now() > deadlineMs) return false;
      if (!entry.isDirectory()) remove(unlinkSync, child);
      else if (!removeTree(child, deadlineMs, now)) return false;
    }
    remove(rmdirSync, path);
    return true;
  } catch (error) {
    // A subordinate user's file that this user cannot remove: the store's next root or namespaced process can.
    if (codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM' || codeOf(error) === 'ENOTEMPTY') return false;
    throw error;
  }
}

function listEntries(path: string): readonly Dirent[] | undefined {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) !== 'EACCES') throw error;
    // An own directory without permissions, such as overlayfs's work/work.
    chmodSync(path, 0o700);
    return readdirSync(path, { withFileTypes: true });
  }
}

function remove(call: (path: string) => void, path: string): void {
  try {
    call(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}
