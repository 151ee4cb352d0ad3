// Writing into the directory of an image layout that may be there already, with links in it that somebody else has made.
import { constants, copyFileSync, lstatSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectories } from '../sys/make-directories.ts';
import { destError } from './destination.ts';

/** The directory of the blobs, made with its parents, which are added to `made`. Throws TSB_OUTPUT_DEST_INVALID for links in their place. */
export function makeBlobDirectory(dest: string, made: string[] = []): string {
  const blobs = join(dest, 'blobs');
  const directory = join(blobs, 'sha256');
  makeDirectories(directory, 0o777, made);
  for (const path of [blobs, directory]) {
    if (lstatSync(path).isDirectory()) continue;
    throw destError(dest, `"${path}" is a link`, 'give an empty directory or an image layout');
  }
  return directory;
}

/** A copy that appears under its name when it is whole; a clone where the file system can. */
export function addFile(from: string, to: string): void {
  appear(to, (temporary) => copyFileSync(from, temporary, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL));
}

/** Puts other bytes in the place of what is there, a link included. */
export function replaceFile(path: string, bytes: Uint8Array): void {
  appear(path, (temporary) => writeFileSync(temporary, bytes, { mode: 0o644, flag: 'wx' }));
}

/** The name cannot be known before, and nothing that has it is written to. */
function appear(path: string, write: (temporary: string) => void): void {
  const temporary = `${path}.${process.pid}-${process.hrtime.bigint().toString(36)}.partial`;
  try {
    write(temporary);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
