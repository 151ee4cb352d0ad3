import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  createReadStream,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { decompress } from '../../src/diff/archive.ts';
import { compareSnapshot } from '../../src/diff/compare.ts';
import { createDiffService } from '../../src/diff/diff-service.ts';
import { computeDiffID, writeLayer } from '../../src/diff/layer-tar.ts';
import { applyLayer } from '../../src/diff/tar-applier.ts';
import { RootView } from '../../src/snapshot/root-view.ts';
import { makeNode, setXattr } from '../../src/sys/libc.ts';

const EMPTY = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef';
const corpora = fileURLToPath(new URL('../../../shared/corpora/cache-vectors', import.meta.url));

let base = '';
let upperDir = '';
let lower = '';
let count = 0;
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'tsbuild-layer-'));
});
afterAll(() => rmSync(base, { recursive: true }));
beforeEach(() => {
  upperDir = join(base, `u${++count}`);
  lower = join(base, `l${count}`);
  mkdirSync(upperDir);
  mkdirSync(lower);
});

function put(root: string, path: string, text: string, mtimeSeconds = 1_600_000_000): void {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), text);
  utimesSync(join(root, path), mtimeSeconds, mtimeSeconds);
}

function changes(): string[] {
  return [...compareSnapshot(upperDir, new RootView([lower]))].map((change) => `${change.kind} ${change.path}`);
}

function names(): string[] {
  const tar = Buffer.concat([...writeLayer({ upperDir, lowerDirs: [lower] })]);
  const child = spawnSync('tar', ['--list', '--verbose', '--quoting-style=escape'], { input: tar, encoding: 'utf8' });
  expect(child.stderr).toBe('');
  return child.stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^(\S+)\s.*\d\d:\d\d (.*)$/, '$1 $2'));
}

describe('a layer', () => {
  it('of no changes has the digest of an empty tar', () => {
    expect(computeDiffID({ upperDir, lowerDirs: [] })).toEqual({ diffID: EMPTY, sizeBytes: 1024 });
  });

  it('holds each changed path once, in byte order, after its parents', () => {
    put(lower, 'etc/same', 'x');
    put(lower, 'etc/sub/edited', 'old');
    put(upperDir, 'etc/same', 'x');
    put(upperDir, 'etc/sub/edited', 'new');
    put(upperDir, 'etc/sub-b', '');
    put(upperDir, 'B', '');
    mkdirSync(join(upperDir, 'untouched'));
    mkdirSync(join(lower, 'untouched'));
    expect(changes()).toEqual(['add /B', 'modify /etc', 'modify /etc/sub', 'modify /etc/sub/edited', 'add /etc/sub-b']);
  });

  it('takes a file of equal stamps and size but other bytes for changed', () => {
    put(lower, 'f', 'old');
    put(upperDir, 'f', 'new');
    expect(changes()).toEqual(['modify /f']);
    put(upperDir, 'f', 'old');
    expect(changes()).toEqual([]);
    put(upperDir, 'f', 'old', 1_600_000_001);
    expect(changes()).toEqual(['modify /f']);
    put(upperDir, 'f', 'old');
    chmodSync(join(upperDir, 'f'), 0o600);
    expect(changes()).toEqual(['modify /f']);
  });

  it('reports a directory for its mode but not for its time', () => {
    mkdirSync(join(lower, 'd'));
    mkdirSync(join(upperDir, 'd'));
    utimesSync(join(upperDir, 'd'), 5, 5);
    expect(changes()).toEqual([]);
    chmodSync(join(upperDir, 'd'), 0o700);
    expect(changes()).toEqual(['modify /d']);
  });

  it('of what a file hid or became is complete', () => {
    put(lower, 'dir/x', '');
    put(lower, 'file', '');
    put(upperDir, 'file/inside', '');
    put(upperDir, 'dir', '');
    expect(changes()).toEqual(['modify /dir', 'modify /file', 'add /file/inside']);
  });

  it('leaves sockets out', async () => {
    const server = createServer().listen(join(upperDir, 's'));
    await new Promise((resolve) => server.once('listening', resolve));
    expect(changes()).toEqual([]);
    put(lower, 's', 'a file that the socket replaced');
    expect(changes()).toEqual(['delete /s']);
    server.close();
  });

  it('writes a hard link within the snapshot as a link to the first path', () => {
    put(upperDir, 'z/first', 'bytes');
    linkSync(join(upperDir, 'z/first'), join(upperDir, 'a'));
    symlinkSync('z', join(upperDir, 'sym'));
    expect(names()).toEqual(['-rw-r--r-- a', 'lrwxrwxrwx sym -> z', 'drwxr-xr-x z/', 'hrw-r--r-- z/first link to a']);
  });

  it('gives equal bytes for equal files and keeps no more than a buffer', async () => {
    for (let n = 0; n < 50; n++) put(upperDir, `d${n % 7}/f${n}`, 'x'.repeat(n * 997));
    for (let n = 0; n < 7; n++) utimesSync(join(upperDir, `d${n}`), 9, 9);
    const copy = join(base, `copy${count}`);
    spawnSync('cp', ['-a', upperDir, copy]);
    const first = computeDiffID({ upperDir, lowerDirs: [] });
    expect(computeDiffID({ upperDir: copy, lowerDirs: [lower] })).toEqual(first);
    const chunks = [...writeLayer({ upperDir, lowerDirs: [] })];
    expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThanOrEqual(256 * 1024);
    expect(chunks.reduce((sum, chunk) => sum + chunk.length, 0)).toBe(first.sizeBytes);
    const service = createDiffService({ inlineBytes: 4096 });
    const answers = await Promise.all([1, 2, 3].map(() => service.diffID({ upperDir, lowerDirs: [] })));
    expect(answers).toEqual([first, first, first]);
    await service.close();
  });

  it('writes holes as zeros', () => {
    put(upperDir, 'sparse', 'head');
    truncateSync(join(upperDir, 'sparse'), 3_000_000);
    const tar = Buffer.concat([...writeLayer({ upperDir, lowerDirs: [] })]);
    const child = spawnSync('tar', ['--extract', '--to-stdout'], { input: tar, maxBuffer: 1 << 24 });
    expect(child.stdout.equals(readFileSync(join(upperDir, 'sparse')))).toBe(true);
  });

  it('fails by name in the background', async () => {
    const service = createDiffService({ inlineBytes: 0 });
    await expect(service.diffID({ upperDir: join(base, 'none'), lowerDirs: [] })).rejects.toThrow('ENOENT');
    await service.close();
    await service.close();
  });
});

describeNeeding(['root'], 'a layer with overlay marks', () => {
  it('has one whiteout for each deletion of what is below', () => {
    put(lower, 'd/a', '');
    put(lower, 'd/b/c', '');
    mkdirSync(join(upperDir, 'd'));
    for (const name of ['d/b', 'd/never', 'none']) {
      makeNode(join(upperDir, name), 'char', 0, { major: 0, minor: 0 });
    }
    expect(changes()).toEqual(['modify /d', 'delete /d/b']);
    expect(names()).toEqual(['drwxr-xr-x d/', '---------- d/.wh.b']);
  });

  it('spells an opaque directory out as deletions, as BuildKit does', () => {
    put(lower, 'o/gone', '');
    put(lower, 'o/kept', 'x');
    put(lower, 'o/sub/gone', '');
    put(lower, 'o/tree/x', '');
    put(upperDir, 'o/kept', 'x');
    put(upperDir, 'o/new', '');
    mkdirSync(join(upperDir, 'o/sub'));
    setXattr(join(upperDir, 'o'), 'trusted.overlay.opaque', Buffer.from('y'));
    mkdirSync(join(upperDir, 'fresh'));
    setXattr(join(upperDir, 'fresh'), 'trusted.overlay.opaque', Buffer.from('y'));
    expect(changes()).toEqual([
      'add /fresh',
      'modify /o',
      'delete /o/gone',
      'add /o/new',
      'modify /o/sub',
      'delete /o/sub/gone',
      'delete /o/tree',
    ]);
  });
});

describeNeeding(['root', corpora], 'a layer that BuildKit wrote', () => {
  it('is written again byte for byte', async () => {
    let layers = 0;
    for (const set of ['set1', 'set2']) {
      const blobs = join(corpora, set, 'cache/blobs/sha256');
      for (const name of readdirSync(blobs)) {
        if (readFileSync(join(blobs, name)).readUInt16BE(0) !== 0x1f8b) continue;
        const dirs = { upperDir: join(base, `${set}-${name}`), lowerDirs: [] };
        mkdirSync(dirs.upperDir);
        const source = decompress(createReadStream(join(blobs, name)));
        const { diffID, sizeBytes } = await applyLayer(source, dirs, { isRootless: false });
        expect(computeDiffID(dirs)).toEqual({ diffID, sizeBytes });
        layers++;
      }
    }
    expect(layers).toBe(20);
  });
});
