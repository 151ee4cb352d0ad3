// Run by open-store.test.ts in a process of its own: opens the store, commits a snapshot, prints its name.
import { openStore } from '../../src/store/open-store.ts';

const store = openStore(process.argv[2] ?? '');
process.stdout.write(`${store.snapshotter.commit(store.snapshotter.prepare(undefined))}\n`);
store.close();
