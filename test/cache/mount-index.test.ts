import { spawnSync } from 'node:child_process';
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
import { PROJECT } from '../needs.ts';

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

  it.each([
    [
      'a list of files that stands for another',
      '{"version":1,"packs":[],"mounts":[{"id":"m","entries":[0,0]}]}',
      'lacks a list',
    ],
    ['a file that is no list', '{"version":1,"packs":[],"mounts":[{"id":"m","entries":[{}]}]}', 'lacks a list'],
    [
      'an end in the midst',
      '{"version":1,"packs":[],"mounts":[{"id":"m","entries":[["a',
      'version undefined is not known',
    ],
  ])('is refused with %s', (_, text, fact) => {
    expect(() => parseMountIndex(zstdCompressSync(text), 'ref')).toThrow(`ref: bad cache mounts: `);
    expect(() => parseMountIndex(zstdCompressSync(text), 'ref')).toThrow(fact);
  });

  it('has a largest size, which an export names together with what to do', () => {
    const path = (at: number): string => `${at}`.padEnd(200, 'x');
    const many = Array.from({ length: 80_000 }, (_, at): MountEntry => ({ ...common, path: path(at), kind: 'fifo' }));
    const mounts = [
      { id: '/small', entries },
      { id: '/npm', entries: many },
    ];
    expect(() => encodeMountIndex({ ...index, mounts })).toThrow(
      expect.objectContaining({
        code: 'TSB_CACHE_MOUNTS_TOO_LARGE',
        message:
          'the index of the cache mounts has 18 MiB, more than the 16 MiB that an import reads: cache mount "npm" has 80000 files',
        hint: 'empty it with tsbuild prune --filter id=npm, or export without mounts=true',
      }),
    );
    expect(() => parseMountIndex(zstdCompressSync(Buffer.alloc(17 << 20, ' ')), 'ref')).toThrow(
      'ref: bad cache mounts: the index has more than 16 MiB',
    );
  });

  it('of the largest size is read in little memory', () => {
    const make = `
      import { zstdCompressSync } from 'node:zlib';
      import { createHash } from 'node:crypto';
      const digest = (at) => createHash('sha256').update(String(at));
      const [files, inPack] = [112_000, 100];
      const list = (count, make) => Array.from({ length: count }, (_, at) => make(at));
      const packs = [];
      for (let pack = 0; pack < files / inPack; pack += 1) {
        const chunks = Buffer.concat(list(inPack, (at) => digest(pack * inPack + at).digest())).toString('base64');
        packs.push(JSON.stringify({ digest: 'sha256:' + digest('p' + pack).digest('hex'), size: 9, chunks, lengths: list(inPack, () => 40_000) }));
      }
      const entries = [];
      for (let at = 0; at < files; at += 1)
        entries.push(JSON.stringify([digest('f' + at).digest('hex').slice(0, 44), 'f', 0o644, 0, 0, '1700000000123456789', [at]]));
      const text = Buffer.from('{"version":1,"packs":[' + packs.join() + '],"mounts":[{"id":"/npm","entries":[' + entries.join() + ']}]}');
      const size = text.length;
      const bytes = zstdCompressSync(text);
      const { writeFileSync } = await import('node:fs');
      writeFileSync(2, String(size));
      process.stdout.write(bytes);
    `;
    const read = `
      import { readFileSync } from 'node:fs';
      const { keepHeapTight } = await import(process.argv[1] + '/src/sys/tight-heap.ts');
      const { parseMountIndex } = await import(process.argv[1] + '/src/cache/mount-index.ts');
      keepHeapTight();
      const { mounts } = parseMountIndex(readFileSync(0), 'ref');
      // Of this program alone: what the kernel tells a parent counts the parent's, too.
      const [, peakKiB] = /VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'));
      console.log(mounts[0].entries.length, peakKiB / 1024);
    `;
    const run = (code: string, input?: Buffer) =>
      spawnSync(process.execPath, ['--input-type=module', '-e', code, PROJECT], { input, maxBuffer: 1 << 28 });
    const made = run(make);
    expect(Number(made.stderr.toString())).toBeGreaterThan(15 * (1 << 20));
    const [count, peakMiB] = run(read, made.stdout).stdout.toString().split(' ').map(Number);
    expect(count).toBe(112_000);
    expect(peakMiB).toBeLessThan(250);
  });

  it('is refused when a later version wrote it', () => {
    expect(() => parseMountIndex(zstdCompressSync('{"version":2}'), 'ref')).toThrow(
      'ref: bad cache mounts: version 2 is not known',
    );
  });
});
