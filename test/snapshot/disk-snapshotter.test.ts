import { existsSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { storeRig } from '../store/store-rig.ts';
import { snapshotterSuite } from './snapshotter-suite.ts';

describe('DiskSnapshotter', () => {
  const rig = storeRig();
  snapshotterSuite('DiskSnapshotter', () => rig.open().snapshotter);

  it('gives directories short names', () => {
    const store = rig.open();
    const active = store.snapshotter.prepare(undefined);
    expect(relative(store.root, active.upperDir)).toBe('snapshots/1/fs');
    expect(relative(store.root, active.workDir)).toBe('snapshots/1/work');
  });

  it('removes a discarded directory when the store is closed', () => {
    const store = rig.open();
    const active = store.snapshotter.prepare(undefined);
    writeFileSync(join(active.upperDir, 'f'), '');
    store.snapshotter.discard(active);
    store.close();
    expect(existsSync(active.upperDir)).toBe(false);
    expect(rig.open(store.root).db.all('SELECT * FROM directories')).toEqual([]);
  });

  it('shows a commit to another process at once', () => {
    const store = rig.open();
    const other = rig.open(store.root);
    const name = store.snapshotter.commit(store.snapshotter.prepare(undefined), { chainID: 'sha256:a' });
    expect(other.snapshotter.findByChainID('sha256:a')).toBe(name);
    expect(other.snapshotter.stack(name)).toEqual(store.snapshotter.stack(name));
  });
});
