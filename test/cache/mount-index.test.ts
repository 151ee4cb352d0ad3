import { zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import {
  encodeMountIndex,
  MOUNT_PACK_TYPE,
  type MountEntry,
  type MountIndex,
  parseMountIndex,
} from '../../src/cache/mount-index.ts';

const id = (name: string): string => digestOf(name).slice(7);
const common = { mode: 0o755, uid: 0, gid: 1000, mtimeNs: -5n, xattrs: [], chunks: [], target: '' } as const;
const entries: readonly MountEntry[] = [
  { ...common, path: '', kind: 'dir' },
  {
    ...common,
    path: 'a',
    kind: 'file',
    chunks: [id('x'), id('y'), id('x')],
    xattrs: [['user.k', Buffer.from([0, 255])]],
  },
  { ...common, path: 'b\udcff', kind: 'symlink', target: '../up' },
  { ...common, path: 'c', kind: 'link', target: 'a' },
  { ...common, path: 'd', kind: 'fifo' },
];
const index: MountIndex = {
  packs: [
    {
      blob: { mediaType: MOUNT_PACK_TYPE, digest: digestOf('pack'), size: 10 },
      chunks: [
        { id: id('x'), length: 3 },
        { id: id('y'), length: 4 },
      ],
    },
  ],
  mounts: [{ id: '/npm', entries }],
};

describe('an index of cache mounts', () => {
  it('comes back as it went, in equal bytes each time', () => {
    expect(parseMountIndex(encodeMountIndex(index), 'x')).toEqual(index);
    expect(encodeMountIndex(index)).toEqual(encodeMountIndex(index));
  });

  it.each([
    ['a path that climbs', ['../a', 'f', 0, 0, 0, '0', []], 'bad file "../a"'],
    ['an absolute path', ['/a', 'f', 0, 0, 0, '0', []], 'bad file "/a"'],
    ['a kind that is none', ['a', 'c', 0, 0, 0, '0', []], 'bad file "a"'],
    ['a chunk that is in no pack', ['a', 'f', 0, 0, 0, '0', [7]], 'bad content of "a"'],
    ['a link that climbs', ['a', 'h', 0, 0, 0, '0', '../b'], 'bad content of "a"'],
    ['more mode than there is', ['a', 'd', 0o10000, 0, 0, '0', ''], 'bad attributes of "a"'],
  ])('is refused with %s', (_, entry, fact) => {
    const text = JSON.stringify({ version: 1, packs: [], mounts: [{ id: 'm', entries: [entry] }] });
    expect(() => parseMountIndex(zstdCompressSync(text), 'ref')).toThrow(`ref: bad cache mounts: ${fact}`);
  });

  it.each([
    [
      'a file behind a symlink',
      [
        ['zz', 's', '/etc'],
        ['zz/evil', 'f', []],
      ],
      'zz/evil',
    ],
    [
      'a link behind a symlink',
      [
        ['a', 'f', []],
        ['zz', 's', '/etc'],
        ['zz/evil', 'h', 'a'],
      ],
      'zz/evil',
    ],
    [
      'a name twice',
      [
        ['d', 'd', ''],
        ['d', 's', '/etc'],
      ],
      'd',
    ],
    [
      'a directory after what is in it',
      [
        ['d/a', 'f', []],
        ['d', 'd', ''],
      ],
      'd/a',
    ],
    ['a mount that is no directory', [['', 's', '/etc']], ''],
  ] as const)('is refused with %s', (_, files, path) => {
    const listed = files.map(([name, letter, own]) => [name, letter, 0o700, 0, 0, '0', own]);
    const text = JSON.stringify({ version: 1, packs: [], mounts: [{ id: 'm', entries: listed }] });
    expect(() => parseMountIndex(zstdCompressSync(text), 'ref')).toThrow(
      `ref: bad cache mounts: bad place of ${JSON.stringify(path)}`,
    );
  });

  it('is refused when a later version wrote it', () => {
    expect(() => parseMountIndex(zstdCompressSync('{"version":2}'), 'ref')).toThrow(
      'ref: bad cache mounts: version 2 is not known',
    );
  });
});
