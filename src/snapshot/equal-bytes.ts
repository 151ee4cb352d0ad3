// Whether two files hold the same bytes.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { toFsPath } from '../sys/path-bytes.ts';
import type { FileNode } from './file-tree.ts';

/** What it takes to read a file. */
type BytesOfFile = Pick<FileNode, 'hostPath' | 'size'>;

const COMPARE_BYTES = 65536;

/** Files of equal size. A stamp says too little to trust it: bytes are compared whatever the times are. */
export function hasEqualBytes(a: BytesOfFile, b: BytesOfFile): boolean {
  const [one, two] = [Buffer.allocUnsafe(COMPARE_BYTES), Buffer.allocUnsafe(COMPARE_BYTES)];
  const first = openSync(toFsPath(a.hostPath), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const second = openSync(toFsPath(b.hostPath), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      for (let left = a.size; left > 0; ) {
        const length = readFull(first, one);
        if (length !== readFull(second, two) || length === 0) return false;
        if (one.compare(two, 0, length, 0, length) !== 0) return false;
        left -= length;
      }
      return true;
    } finally {
      closeSync(second);
    }
  } finally {
    closeSync(first);
  }
}

/** Fills the buffer as far as the file goes. */
function readFull(fd: number, buffer: Buffer): number {
  let length = 0;
  while (length < buffer.length) {
    const count = readSync(fd, buffer, length, buffer.length - length, null);
    if (count === 0) break;
    length += count;
  }
  return length;
}
