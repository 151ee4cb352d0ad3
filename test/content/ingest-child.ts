// Run by disk-content-store.test.ts in a process of its own: ingests a blob in small pieces; says "half" and hangs there if asked to.
import { parseDigest } from '../../solver/digest.ts';
import { openStore } from '../../src/store/open-store.ts';

const [root = '', mode, digest = '', sizeText] = process.argv.slice(2);
const size = Number(sizeText);
const store = openStore(root);
// Keeps the hanging process from ending by itself.
const timer = setInterval(() => {}, 1000);

async function* pieces(offset: number): AsyncGenerator<Uint8Array> {
  for (let at = offset; at < size; at += 10_000) {
    if (mode === 'hangs' && at === size / 2) {
      process.stdout.write('half');
      await new Promise(() => {});
    }
    yield Buffer.alloc(10_000, 5);
  }
}

await store.content.ingest({ digest: parseDigest(digest), size }, async (offset) => pieces(offset));
clearInterval(timer);
store.close();
