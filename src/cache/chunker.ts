// Where a file is cut into chunks: by its content (FastCDC with a 32-bit gear hash), so that an insertion moves the cuts
// near it and no others. https://www.usenix.org/conference/atc16/technical-sessions/presentation/xia
import { createHash } from 'node:crypto';

/** Bytes: files up to the first are one chunk, no chunk is longer than the last. */
export const CHUNK_BYTES = { min: 16 * 1024, average: 64 * 1024, max: 256 * 1024 } as const;

// Cuts are rarer before the average length and more frequent after it, which keeps lengths near it.
const STRICT_MASK = -(1 << 14);
const LOOSE_MASK = -(1 << 18);
const GEAR = makeGear();

/** How many bytes from `start` on are the next chunk. Between `start` and `end` is the file's rest, or the longest chunk at least. */
export function chunkLength(bytes: Uint8Array, start: number, end: number): number {
  const size = end - start;
  if (size <= CHUNK_BYTES.min) return size;
  const limit = start + Math.min(size, CHUNK_BYTES.max);
  const middle = Math.min(limit, start + CHUNK_BYTES.average);
  let hash = 0;
  let at = start + CHUNK_BYTES.min;
  for (; at < middle; at++) {
    hash = ((hash << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0;
    if ((hash & STRICT_MASK) === 0) return at + 1 - start;
  }
  for (; at < limit; at++) {
    hash = ((hash << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0;
    if ((hash & LOOSE_MASK) === 0) return at + 1 - start;
  }
  return limit - start;
}

/** Numbers without a pattern, the same ones for ever: other cuts would move every chunk once. */
function makeGear(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) =>
    createHash('sha256').update(`gear ${byte}`).digest().readInt32LE(0),
  );
}
