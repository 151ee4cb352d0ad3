// Writing to files, which may take fewer bytes at a time than they are given.
import { writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

/** Writes all of the bytes where the file is now. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

/** The same for a descriptor, at once. */
export function writeAllSync(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** Writes all of the bytes from `position` on, wherever the file is. */
export function writeAllAt(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}
