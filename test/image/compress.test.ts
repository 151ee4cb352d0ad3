import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import { compress } from '../../src/image/compress.ts';

const MIB = 1 << 20;
// Half of it repeats, half does not.
const noise = randomBytes(300_000);
const large = Buffer.concat(
  Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? noise : Buffer.alloc(300_000, `line ${i}\n`))),
);

function* pieces(bytes: Buffer, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const gzip = (bytes: Buffer, size = 1000, level = 6): Promise<Buffer> =>
  buffer(compress(pieces(bytes, size), { compression: 'gzip', level }));

describe('compress', () => {
  it.each([0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, large.length])(
    'makes %d bytes a gzip that gzip itself reads',
    async (size) => {
      const bytes = large.subarray(0, size);
      const compressed = await gzip(bytes);
      expect(gunzipSync(compressed).equals(bytes)).toBe(true);
      expect(execFileSync('gzip', ['-dc'], { input: compressed, maxBuffer: 2 * large.length }).equals(bytes)).toBe(
        true,
      );
    },
  );

  it('makes the same bytes however the input is cut and whatever runs beside', async () => {
    const [first, ...others] = await Promise.all([100, 4096, MIB, 3 * MIB].map((size) => gzip(large, size)));
    for (const other of others) expect(digestOf(other)).toBe(digestOf(first ?? ''));
  });

  it('writes a header without time or name', async () => {
    expect((await gzip(large)).subarray(0, 10).toString('hex')).toBe('1f8b08000000000000ff');
  });

  it('loses little by its blocks', async () => {
    const text = Buffer.from(
      Array.from({ length: 60_000 }, (_, i) => `a line with the number ${i * 7919} in it\n`).join(''),
    );
    const whole = execFileSync('gzip', ['-6c'], { input: text, maxBuffer: text.length }).length;
    expect((await gzip(text)).length).toBeLessThan(whole * 1.01);
  });

  it('takes a level', async () => {
    const [fast, best] = await Promise.all([1, 9].map((level) => gzip(large, 4096, level)));
    expect(best?.length).toBeLessThan(fast?.length ?? 0);
  });

  it('makes zstd that zstd reads', async () => {
    const compressed = await buffer(compress(pieces(large, 5000), { compression: 'zstd' }));
    expect(zstdDecompressSync(compressed).equals(large)).toBe(true);
  });

  it('hands uncompressed bytes through', async () => {
    expect((await buffer(compress(pieces(large, 5000), { compression: 'uncompressed' }))).equals(large)).toBe(true);
  });

  it.each(['gzip', 'zstd', 'uncompressed'] as const)('fails when the source of %s fails', async (compression) => {
    const broken = function* (): Generator<Uint8Array> {
      yield large;
      throw new Error('disk broke');
    };
    await expect(buffer(compress(broken(), { compression }))).rejects.toThrow('disk broke');
  });
});
