// Run by crash.test.ts in a process of its own: prepares, writes, commits, saves and discards until it is killed.
// Every committed step is announced on stdout, after the fact.
import { mkdirSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from '../../solver/digest.ts';
import { openStore } from '../../src/store/open-store.ts';

const [root = '', run = ''] = process.argv.slice(2);
const store = openStore(root);
const build = store.builds.start({ dockerfile: 'Dockerfile' });
writeSync(1, 'ready\n');
for (let i = 0; ; i += 1) {
  const active = store.snapshotter.prepare(undefined);
  mkdirSync(join(active.upperDir, 'dir'));
  for (let file = 0; file < 5; file += 1) writeFileSync(join(active.upperDir, 'dir', `f${file}`), `${run}-${i}`);
  if (i % 3 === 2) {
    store.snapshotter.discard(active);
    continue;
  }
  const digest = store.content.put(Buffer.from(`${run}-${i}`));
  const snapshot = store.snapshotter.commit(active, { chainID: `${run}-${i}` });
  const key = store.cacheStore.save({ digest, output: 0, inputs: [] });
  store.cacheStore.saveResult(key, snapshot, { vertexName: 'x', opDigest: digest, contents: [] });
  store.builds.recordStep(build, { number: i, vertex: digestOf('v'), name: 'x', startedAtMs: i, status: 'completed' });
  writeSync(1, `${run}-${i}\n`);
}
