// Which changes of paths are told as one.
import { describe, expect, it } from 'vitest';
import { comparePaths, type PathEntry } from '../../src/explain/path-list.ts';

const file = (path: string, mode: number): PathEntry => ({
  path: `/${path}`,
  type: 'file',
  mode,
  uid: 0,
  gid: 0,
  size: 1,
  link: '',
  digest: `${path} ${mode}`,
  xattrs: '',
});
const files = (count: number, mode: number): PathEntry[] =>
  Array.from({ length: count }, (_, number) => file(`f${number + 10}`, mode));
const compare = (before: readonly PathEntry[], after: readonly PathEntry[]) => comparePaths(before, after, () => true);

describe('modes that changed alike', () => {
  it('are one reason only where old and new mode are the same, and name their paths', () => {
    const reasons = compare([file('f1', 0o755), ...files(38, 0o644)], [file('f1', 0o775), ...files(38, 0o664)]);
    const paths = files(38, 0).map(({ path }) => path.slice(1));
    expect(reasons).toEqual([
      { kind: 'modes', count: 38, old: '0644', new: '0664', paths },
      { kind: 'path', path: 'f1', change: 'mode', old: '0755', new: '0775' },
    ]);
  });

  it('of two kinds are two', () => {
    const bin = (mode: number): PathEntry[] => ['a', 'b', 'c'].map((name) => file(name, mode));
    expect(compare([...bin(0o755), ...files(6, 0o644)], [...bin(0o775), ...files(6, 0o664)])).toMatchObject([
      { count: 6, old: '0644', new: '0664' },
      { count: 3, old: '0755', new: '0775', paths: ['a', 'b', 'c'] },
    ]);
  });

  it('by different bits are as many as there are', () => {
    const others = (mode: number): PathEntry[] => ['b', 'c', 'd', 'e', 'f'].map((name) => file(name, mode));
    expect(
      compare(
        [...files(6, 0o644), file('a', 0o600), ...others(0o600)],
        [...files(6, 0o664), file('a', 0o755), ...others(0o640)],
      ),
    ).toMatchObject([
      { kind: 'path', path: 'a' },
      { kind: 'modes', count: 6 },
      { kind: 'modes', count: 5, old: '0600', new: '0640' },
    ]);
  });

  it('are told one by one where they are few', () => {
    expect(compare(files(4, 0o644), files(4, 0o664)).map(({ kind }) => kind)).toEqual(Array(4).fill('path'));
  });
});
