import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import { storeRig } from '../store/store-rig.ts';
import { contentStoreSuite } from './content-store-suite.ts';

describe('DiskContentStore', () => {
  const rig = storeRig();
  contentStoreSuite('DiskContentStore', () => rig.open().content);

  it('leaves nothing temporary behind', async () => {
    const store = rig.open();
    const bytes = Buffer.from('x');
    store.content.put(bytes);
    await store.content.ingest({ digest: digestOf('abc'), size: 3 }, async () => single(Buffer.from('abc')));
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
  });

  it('lets two processes ingest the same blob at once', async () => {
    const root = rig.root();
    rig.open(root).close();
    await Promise.all([1, 2, 3].map(() => ingestInChild(root, 'ends')));
    const store = rig.open(root);
    expect(store.content.read(CHILD_DIGEST)).toHaveLength(CHILD_SIZE);
    expect(readdirSync(join(root, 'tmp'))).toEqual([]);
  });

  it('goes on with the bytes of a process that was killed', async () => {
    const root = rig.root();
    rig.open(root).close();
    await ingestInChild(root, 'hangs');
    const offsets: number[] = [];
    const store = rig.open(root);
    await store.content.ingest({ digest: CHILD_DIGEST, size: CHILD_SIZE }, async (offset) => {
      offsets.push(offset);
      return single(Buffer.alloc(CHILD_SIZE - offset, 5));
    });
    expect(offsets).toEqual([CHILD_SIZE / 2]);
    expect(readdirSync(join(root, 'tmp'))).toEqual([]);
  });
});

const CHILD_SIZE = 2_000_000;
const CHILD_DIGEST = digestOf(Buffer.alloc(CHILD_SIZE, 5));

/** Ingests in a process of its own; one that hangs half way is killed there. */
async function ingestInChild(root: string, mode: 'ends' | 'hangs'): Promise<void> {
  const script = new URL('./ingest-child.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, root, mode, CHILD_DIGEST, String(CHILD_SIZE)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (mode === 'hangs') child.stdout.once('data', () => child.kill('SIGKILL'));
  const [code] = await once(child, 'exit');
  expect(code).toBe(mode === 'ends' ? 0 : null);
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
