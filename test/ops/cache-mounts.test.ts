import { expect, it } from 'vitest';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CacheMounts } from '../../src/ops/cache-mounts.ts';

it('lets nobody else enter a cache mount, in a store that everybody may enter', async () => {
  const store = mkdtempSync(join(tmpdir(), 'tsbuild-mounts-'));
  try {
    chmodSync(store, 0o755);
    for (const name of ['mounts', 'locks']) mkdirSync(join(store, name));
    const mounts = new CacheMounts(store);
    const request = { id: 'a', sharing: 'shared', inputID: undefined, isFresh: false } as const;
    const take = async (): Promise<number> => {
      const mount = await mounts.acquire(request, new AbortController().signal);
      mount.release();
      return statSync(dirname(mount.upperDir)).mode & 0o7777;
    };
    expect(await take()).toBe(0o700);
    chmodSync(join(store, 'mounts', mounts.keyOf(request)), 0o755);
    expect(await take()).toBe(0o700);
  } finally {
    rmSync(store, { recursive: true });
  }
});
