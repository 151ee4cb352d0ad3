import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeName, encodeName, sortNames, toFsPath } from '../../src/sys/path-bytes.ts';

describe('path bytes', () => {
  it('brings any bytes there and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(encodeName(decodeName(Buffer.from(bytes)))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('leaves UTF-8 alone', () => {
    expect(decodeName(Buffer.from('é\u{1f600}'))).toBe('é\u{1f600}');
    expect(toFsPath('/é')).toBe('/é');
  });

  it('sorts by bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 6 })), (names) => {
        const sorted = sortNames(names.map((bytes) => decodeName(Buffer.from(bytes))));
        expect(sorted.map(encodeName)).toEqual(names.map((bytes) => Buffer.from(bytes)).sort(Buffer.compare));
      }),
    );
  });
});
