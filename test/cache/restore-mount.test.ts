// Restoring a cache mount from blobs that are on disk.
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, expect, it } from 'vitest';
import { type Digest, digestHex, digestOf } from '../../solver/digest.ts';
import { encodeMountIndex, MOUNT_INDEX_TYPE, MOUNT_PACK_TYPE, type MountEntry } from '../../src/cache/mount-index.ts';
import { fetchMountIndex, restoreMount } from '../../src/cache/restore-mount.ts';
import type { Descriptor } from '../../src/image/descriptor.ts';
import { OCILayout } from '../../src/image/oci-layout.ts';

const place = mkdtempSync(join(tmpdir(), 'tsbuild-restore-'));
const layout = join(place, 'layout');
mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
afterAll(() => rmSync(place, { recursive: true }));

function put(mediaType: string, bytes: Buffer): Descriptor {
  const digest: Digest = digestOf(bytes);
  writeFileSync(join(layout, 'blobs/sha256', digestHex(digest)), bytes);
  return { mediaType, digest, size: bytes.length };
}

it.each([1, 6, 64, 4096, 8000, 300_000, 4_194_304])('makes a file of %d bytes', async (bytes) => {
  const content = Buffer.alloc(bytes, 'tsbuild ');
  const [blob, id] = [put(MOUNT_PACK_TYPE, zstdCompressSync(content)), digestHex(digestOf(content))];
  const common = { mode: 0o700, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mtimeNs: 5n, xattrs: [] };
  const entries: readonly MountEntry[] = [
    { ...common, path: '', kind: 'dir', chunks: [], target: '' },
    { ...common, path: 'file', kind: 'file', chunks: [id], target: '' },
  ];
  const packs = [{ blob, chunks: [{ id, length: bytes }] }];
  const encoded = encodeMountIndex({ packs, mounts: [{ id: 'npm', entries }] });
  const source = { name: 'cache', origin: new OCILayout(layout), index: put(MOUNT_INDEX_TYPE, encoded) };
  const { signal } = new AbortController();
  const index = await fetchMountIndex(source, signal);
  const directory = mkdtempSync(join(place, 'mount-'));
  for (const files of index.mounts) await restoreMount(source, index, files, { directory, signal });
  expect(readFileSync(join(directory, 'file')).equals(content)).toBe(true);
});
