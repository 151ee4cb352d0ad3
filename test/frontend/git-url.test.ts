import { describe, expect, it } from 'vitest';
import { parseGitUrl } from '../../frontend/git-url.ts';

describe('the query of a git URL', () => {
  const read = (query: string) => parseGitUrl(`https://host/x.git${query}`);

  it.each([
    ['?ref=v1', { ref: 'v1' }],
    ['?tag=v1', { ref: 'refs/tags/v1' }],
    ['?branch=main', { ref: 'refs/heads/main' }],
    ['?branch=refs/heads/main', { ref: 'refs/heads/main' }],
    ['?subdir=a/b', { subdir: 'a/b' }],
    ['?commit=abc', { ref: 'abc', checksum: 'abc' }],
    ['?tag=v1&checksum=abc', { ref: 'refs/tags/v1', checksum: 'abc' }],
    ['?keep-git-dir=1', { keepGitDir: true }],
    ['?keep-git-dir', { keepGitDir: true }],
    ['?submodules=false', { submodules: false }],
    ['?ref=v1#v1:sub', { ref: 'v1', subdir: 'sub' }],
    ['#main:/sub', { ref: 'main', subdir: 'sub' }],
  ])('%s is read', (query, expected) => {
    expect(read(query)).toMatchObject({ remote: 'https://host/x.git', ...expected });
  });

  it.each([
    ['?ref=a#b', 'ref conflicts: "b" vs "a"'],
    ['?tag=a&branch=b', 'branch conflicts with tag'],
    ['?subdir=a#:b', 'subdir conflicts: "b" vs "a"'],
    ['?ref=a&ref=b', 'query "ref" has multiple values'],
    ['?ref=', 'query "ref" has no value'],
    ['?reff=a', 'unexpected query "reff"'],
    ['?keep-git-dir=maybe', 'invalid keep-git-dir value: "maybe"'],
  ])('%s is refused', (query, message) => {
    expect(() => read(query)).toThrow(message);
  });
});
