// Makes images of hand-written snapshots for the tests of src/image and src/export.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageConfig } from '../../frontend/image-config.ts';
import { computeDiffID } from '../../src/diff/layer-tar.ts';
import type { SnapshotName } from '../../src/snapshot/snapshotter.ts';
import type { Store } from '../../src/store/open-store.ts';

export const CREATED_MS = 1_700_000_000_120;

export const CONFIG: ImageConfig = {
  architecture: 'amd64',
  os: 'linux',
  config: { Env: ['PATH=/bin'], Cmd: ['/hello'] },
  rootfs: { type: 'layers', diff_ids: [] },
  history: [{ created_by: 'COPY one /', comment: 'buildkit.dockerfile.v0' }],
};

/** Commits what `fill` writes as a snapshot on `parent`, with its diffID. */
export function commitLayer(
  store: Store,
  parent: SnapshotName | undefined,
  fill: (directory: string) => void,
): SnapshotName {
  const active = store.snapshotter.prepare(parent);
  fill(active.upperDir);
  const name = store.snapshotter.commit(active);
  const { diffID, sizeBytes } = computeDiffID(store.snapshotter.layerDirs(name));
  store.snapshotter.setDiffID(name, diffID, sizeBytes);
  return name;
}

/** A layer of one small file. */
export function commitFile(store: Store, parent: SnapshotName | undefined, name: string, text = name): SnapshotName {
  return commitLayer(store, parent, (directory) => writeFileSync(join(directory, name), text));
}
