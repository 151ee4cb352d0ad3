import { describe, expect, it } from 'vitest';
import { fileNameOf } from '../../frontend/remote-source.ts';

describe('the name of a fetched file', () => {
  it.each([
    ['http://host/dir/file.txt?a=b#c', 'file.txt'],
    ['http://host/a%20b', 'a b'],
    ['http://host/dir/', 'dir'],
    ['http://host', '__unnamed__'],
    ['http://host/', '__unnamed__'],
    ['http://host/%2f..%2f..%2fetc%2fpasswd', 'passwd'],
    ['http://host/..%2f..', '__unnamed__'],
    ['http://host/100%', '100%'],
  ])('of %s is %s', (url, name) => {
    expect(fileNameOf(url)).toBe(name);
  });
});
