// Writing to a file handle, which may take fewer bytes at a time than it is given.
import type { FileHandle } from 'node:fs/promises';

/** Writes all of the bytes where the file is now. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}
