import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { readTar, type TarReadEntry } from '../../src/diff/tar-reader.ts';
import { encodeTarHeader, TAR_END_LENGTH, type TarEntry, writePlainHeader } from '../../src/diff/tar-writer.ts';
import { decodeName } from '../../src/sys/path-bytes.ts';

const plain: TarEntry = { name: 'a', type: 'file', mode: 0o644, uid: 0, gid: 0, size: 0, mtimeSeconds: 1_700_000_000 };
const bytes = (text: string): string => decodeName(Buffer.from(text, 'latin1'));

const hard: readonly TarEntry[] = [
  plain,
  { ...plain, name: 'mode0', mode: 0 },
  { ...plain, name: 'setuid', mode: 0o7777, uid: 2_097_151, gid: 2_097_152 },
  { ...plain, name: 'ids', uid: 4_294_967_294, gid: 262_144 },
  { ...plain, name: 'old', mtimeSeconds: -1 },
  { ...plain, name: 'y2040', mtimeSeconds: 2_208_988_800 },
  { ...plain, name: 'y2300', mtimeSeconds: 10_413_792_000 },
  { ...plain, name: `${'d/'.repeat(60)}long`, uid: 7 },
  { ...plain, name: `${'n'.repeat(250)}/`, type: 'dir', mode: 0o1777 },
  { ...plain, name: 'ünïcode' },
  { ...plain, name: bytes('raw\xff\xfe') },
  { ...plain, name: 'l', type: 'symlink', mode: 0o777, linkName: `/t/${'x'.repeat(200)}` },
  { ...plain, name: 'l2', type: 'symlink', mode: 0o777, linkName: bytes('\xe9') },
  { ...plain, name: 'h', type: 'link', linkName: 'mode0' },
  { ...plain, name: 'null', type: 'char', rdev: { major: 1, minor: 3 } },
  { ...plain, name: 'disk', type: 'block', rdev: { major: 259, minor: 65_537 } },
  { ...plain, name: 'pipe', type: 'fifo' },
  { ...plain, name: 'cap', xattrs: [['security.capability', Buffer.from([1, 0, 0, 2, 0, 0x30, 0x0a, 0xff, 0x3d])]] },
  { ...plain, name: '.wh.gone', mode: 0, mtimeSeconds: 0, isPrefixAllowed: true },
  { ...plain, name: `${'p'.repeat(90)}/.wh.${'g'.repeat(60)}`, mode: 0, isPrefixAllowed: true },
];
const archive = Buffer.concat([...hard.map(encodeTarHeader), Buffer.alloc(TAR_END_LENGTH)]);

async function* inPieces(whole: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
}

describe('tar headers', () => {
  it('come back field by field, whatever the chunks', async () => {
    for (const size of [512, 700, 1 << 20]) {
      const seen: TarReadEntry[] = [];
      await readTar(inPieces(archive, size), (entry) => {
        seen.push(entry);
        return undefined;
      });
      expect(seen).toEqual(
        hard.map(({ isPrefixAllowed: _, ...entry }) => ({
          linkName: '',
          rdev: { major: 0, minor: 0 },
          xattrs: [],
          ...entry,
        })),
      );
    }
  });

  itNeeding(['python3'], 'are read alike by another implementation', () => {
    const script = `
import io, json, sys, tarfile
t = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()), encoding='utf-8', errors='surrogateescape')
print(json.dumps([[m.name, m.type.decode(), m.mode, m.uid, m.gid, m.mtime, m.linkname, m.devmajor, m.devminor] for m in t]))`;
    const child = spawnSync('python3', ['-c', script], { input: archive, encoding: 'utf8' });
    const flags = { file: '0', link: '1', symlink: '2', char: '3', block: '4', dir: '5', fifo: '6' } as const;
    expect(JSON.parse(child.stdout)).toEqual(
      hard.map((entry) => [
        entry.name.replace(/\/$/, ''),
        flags[entry.type],
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtimeSeconds,
        entry.linkName ?? '',
        entry.rdev?.major ?? 0,
        entry.rdev?.minor ?? 0,
      ]),
    );
  });

  it('keep sizes of 8 GiB and more in a pax record', async () => {
    const size = 8 * 1024 ** 3;
    const header = encodeTarHeader({ ...plain, size });
    expect(header.length).toBe(3 * 512);
    expect(header.toString('latin1', 512, 531)).toBe('19 size=8589934592\n');
    expect(encodeTarHeader({ ...plain, size: size - 1 }).length).toBe(512);
  });

  it('are written the same way by the fast path', () => {
    for (const entry of hard) {
      const block = Buffer.alloc(512);
      if (writePlainHeader(block, 0, entry)) expect(block).toEqual(encodeTarHeader(entry));
    }
    expect(writePlainHeader(Buffer.alloc(512), 0, plain)).toBe(true);
  });

  it('use the ustar prefix only where Go does', () => {
    const long = `${'p'.repeat(90)}/${'g'.repeat(60)}`;
    expect(encodeTarHeader({ ...plain, name: long, isPrefixAllowed: true }).length).toBe(512);
    expect(encodeTarHeader({ ...plain, name: long }).length).toBe(3 * 512);
    expect(encodeTarHeader({ ...plain, name: long, isPrefixAllowed: true, mtimeSeconds: -1 }).length).toBe(3 * 512);
  });

  it('refuse what a tar cannot hold', () => {
    const refused = (entry: Partial<TarEntry>) => () => encodeTarHeader({ ...plain, ...entry });
    expect(refused({ name: 'a\0b' })).toThrow('a layer cannot hold "a\0b": its name has no form in a tar');
    expect(refused({ uid: -1 })).toThrow('a layer cannot hold "a": uid -1 has no form in a tar');
    expect(refused({ mtimeSeconds: 0.5 })).toThrow('mtime 0.5');
    expect(refused({ mode: 0o10000 })).toThrow('mode 4096');
    expect(refused({ rdev: { major: 2 ** 21, minor: 0 } })).toThrow('device number 2097152:0');
    expect(refused({ xattrs: [['user.a=b', Buffer.alloc(0)]] })).toThrow('extended attribute "user.a=b"');
  });
});
