// Files that others may read meanwhile: what is new is written beside them and renamed.
import { constants, copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/** Gives the path these bytes in one step, with mode 0644 less the umask. A failure leaves what was there, and nothing else. */
export function replaceFile(path: string, bytes: Uint8Array): void {
  renameInto(path, (partial) => writeFileSync(partial, bytes, { mode: 0o644 }));
}

/** Gives the path a file's bytes and mode in one step: a clone where the file system can. A failure is as above. */
export function replaceWithCopy(path: string, source: string): void {
  renameInto(path, (partial) => copyFileSync(source, partial, constants.COPYFILE_FICLONE));
}

function renameInto(path: string, write: (partial: string) => void): void {
  const partial = `${path}.partial`;
  try {
    write(partial);
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
}
