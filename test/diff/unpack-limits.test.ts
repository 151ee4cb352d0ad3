import { describe, expect, it } from 'vitest';
import { UnpackMeter, unpackLimits } from '../../src/diff/unpack-limits.ts';

describe('limits of unpacking', () => {
  it('are 64 GiB and four million entries, or what TSBUILD_UNPACK_LIMIT says', () => {
    expect(unpackLimits('')).toEqual({ bytes: 64 * 2 ** 30, entries: 4_000_000 });
    expect(['4096', '1k', '20m', '200G', '1tb'].map((text) => unpackLimits(text).bytes)).toEqual([
      4096,
      1024,
      20 * 2 ** 20,
      200 * 2 ** 30,
      2 ** 40,
    ]);
    expect(() => unpackLimits('-1')).toThrow('invalid TSBUILD_UNPACK_LIMIT "-1": expected a size such as 200g');
  });

  it('hold for the sum, for one entry and for their number', () => {
    const meter = new UnpackMeter({ bytes: 2048, entries: 2 });
    meter.addBytes(2048);
    expect(() => meter.addBytes(1)).toThrow('refused to unpack an archive: it unpacks to more than 2 KiB');
    expect(() => meter.addEntry({ name: 'big', size: 2049 })).toThrow('"big" alone is larger than 2 KiB');
    meter.addEntry({ name: 'fits', size: 2048 });
    expect(() => meter.addEntry({ name: 'more', size: 0 })).toThrow('it has more than 2 entries');
  });
});
