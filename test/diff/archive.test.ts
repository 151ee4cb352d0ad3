import { spawnSync } from 'node:child_process';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decompress, openArchive, sniffArchive } from '../../src/diff/archive.ts';
import { encodeTarHeader } from '../../src/diff/tar-writer.ts';

const header = encodeTarHeader({
  name: 'f',
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 300_000,
  mtimeSeconds: 0,
});
const tar = Buffer.concat([header, Buffer.alloc(300_032, 'abcdefg'), Buffer.alloc(1024)]);
const compress = (program: string): Buffer => spawnSync(program, ['-c'], { input: tar, maxBuffer: 1 << 24 }).stdout;
const forms: readonly (readonly [string, () => Buffer])[] = [
  ['tar', () => tar],
  ['gzip', () => gzipSync(tar)],
  ['zstd', () => zstdCompressSync(tar)],
  ['bzip2', () => compress('bzip2')],
  ['xz', () => compress('xz')],
];

describe('an archive', () => {
  let dir = '';
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-archive-'));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  async function read(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for await (const part of source) parts.push(part);
    return Buffer.concat(parts);
  }

  for (const [kind, make] of forms) {
    it(`of ${kind} is known by its content and read`, async () => {
      const bytes = make();
      const path = join(dir, 'odd.name');
      writeFileSync(path, bytes);
      expect(sniffArchive(bytes)).toBe(kind);
      expect((await read(decompress(createReadStream(path, { highWaterMark: 700 })))).equals(tar)).toBe(true);
      const opened = await openArchive(path);
      expect(opened && (await read(opened)).equals(tar)).toBe(true);
    });
  }

  it('of every kind is read by the Node that runs the command, however short it is', () => {
    const short = Buffer.concat([Buffer.from(tar.subarray(0, 512)), Buffer.alloc(1024)]);
    const module = new URL('../../src/diff/archive.ts', import.meta.url).href;
    for (const program of ['bzip2', 'xz', 'gzip', 'zstd']) {
      const path = join(dir, `short.${program}`);
      writeFileSync(path, spawnSync(program, ['-c'], { input: short }).stdout);
      const script = `import { openArchive } from '${module}';
        const parts = []; for await (const part of (await openArchive('${path}')) ?? []) parts.push(part);
        console.log(Buffer.concat(parts).length);`;
      const read = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
      expect(read.stdout, program + read.stderr).toBe(`${short.length}\n`);
    }
  });

  it('is not what only looks compressed or is plain', async () => {
    for (const bytes of [
      Buffer.from('plain text'),
      Buffer.alloc(0),
      gzipSync('no tar'),
      Buffer.alloc(2048),
      Buffer.from([0x1f, 0x8b, 8, 0]),
    ]) {
      writeFileSync(join(dir, 'x.tar.gz'), bytes);
      expect(await openArchive(join(dir, 'x.tar.gz'))).toBeUndefined();
    }
  });

  it('that is damaged or cut short is refused', async () => {
    for (const [kind, make] of forms.slice(1)) {
      const whole = make();
      const cut = whole.subarray(0, whole.length - 20);
      await expect(
        read(
          decompress(
            (async function* () {
              yield cut;
            })(),
          ),
        ),
      ).rejects.toThrow(`damaged ${kind} data`);
    }
  });

  it('passes on the failure of what it reads from', async () => {
    const failing = async function* (): AsyncGenerator<Buffer> {
      yield gzipSync(tar).subarray(0, 600);
      throw new Error('connection lost');
    };
    await expect(read(decompress(failing()))).rejects.toThrow('connection lost');
  });
});
