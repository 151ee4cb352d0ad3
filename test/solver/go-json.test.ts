import { describe, expect, it } from 'vitest';
import { encodeGoJSON, omitEmptyMap, omitZero } from '../../solver/go-json.ts';

describe('encodeGoJSON', () => {
  it('escapes what Go escapes and nothing else', () => {
    expect(encodeGoJSON('<a href="x">&\u2028\u2029\\/')).toBe(
      '"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028\\u2029\\\\/"',
    );
    expect(encodeGoJSON('\b\f\n\r\t\u0000\u001f\u007f')).toBe('"\\b\\f\\n\\r\\t\\u0000\\u001f\u007f"');
    expect(encodeGoJSON('é한🐳\ufffd')).toBe('"é한🐳\ufffd"');
    expect(encodeGoJSON('a\ud800b')).toBe('"a\\ufffdb"');
  });

  it('keeps the order of a struct and leaves undefined fields out', () => {
    expect(encodeGoJSON({ b: 1, a: undefined, Z: [true, null], n: -1 })).toBe('{"b":1,"Z":[true,null],"n":-1}');
  });

  it('sorts a map by the bytes of its keys, numbers of ports included', () => {
    const map = new Map([
      ['é', 1],
      ['z', 2],
      ['9/tcp', 3],
      ['80/tcp', 4],
      ['10', 5],
    ]);
    expect(encodeGoJSON({ map })).toBe('{"map":{"10":5,"80/tcp":4,"9/tcp":3,"z":2,"é":1}}');
  });

  it('writes bytes as standard base64', () => {
    expect(encodeGoJSON(Uint8Array.of(0xfb, 0xff, 0))).toBe('"+/8A"');
  });

  it('refuses a number that is no exact integer', () => {
    expect(() => encodeGoJSON(0.5)).toThrow('internal error: 0.5 has no exact JSON integer');
  });

  it('omits zero values on request', () => {
    const fields = { a: omitZero(''), b: omitZero(0), c: omitZero([]), d: omitEmptyMap({}), e: omitZero(false) };
    expect(encodeGoJSON({ ...fields, f: omitZero('x'), g: omitEmptyMap({ k: 'v' }) })).toBe('{"f":"x","g":{"k":"v"}}');
  });
});
