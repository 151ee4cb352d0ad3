import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CHUNK_BYTES, chunkLength } from '../../src/cache/chunker.ts';

/** The same bytes on every machine. */
function noise(length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, at) =>
    createHash('sha256').update(`${at}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

function cut(bytes: Buffer): readonly Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = chunkLength(bytes, at, bytes.length);
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return chunks;
}

describe('chunks', () => {
  const bytes = noise(4_000_000);
  const chunks = cut(bytes);

  it('are all of the bytes, none too short or too long', () => {
    expect(Buffer.concat(chunks)).toEqual(bytes);
    for (const chunk of chunks.slice(0, -1)) {
      expect(chunk.length).toBeGreaterThan(CHUNK_BYTES.min);
      expect(chunk.length).toBeLessThanOrEqual(CHUNK_BYTES.max);
    }
    expect(bytes.length / chunks.length).toBeLessThan(2 * CHUNK_BYTES.average);
  });

  it('stay the same but for a few when bytes are put in', () => {
    const before = new Set(chunks.map((chunk) => chunk.toString('latin1')));
    const changed = cut(
      Buffer.concat([bytes.subarray(0, 2_000_000), Buffer.from('inserted'), bytes.subarray(2_000_000)]),
    );
    expect(changed.filter((chunk) => !before.has(chunk.toString('latin1'))).length).toBeLessThanOrEqual(3);
  });

  it('of a short file are one', () => {
    expect(chunkLength(bytes, 0, CHUNK_BYTES.min)).toBe(CHUNK_BYTES.min);
  });
});
