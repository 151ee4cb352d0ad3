// Every record of the caches BuildKit exported, recomputed by the whole path: Dockerfile, definition, cache maps, the
// content of real files, and for set3 the config and manifest of the base image.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeNeeding } from './needs.ts';
import { rootKey } from '../solver/cache-key.ts';
import { cacheMapOf } from '../solver/cache-map.ts';
import type { Definition } from '../solver/definition.ts';
import { type Digest, digestOf } from '../solver/digest.ts';
import type { Result } from '../solver/op-runner.ts';
import { imageSourceDigest, layersSourceDigest } from '../solver/source-key.ts';
import type { Vertex } from '../solver/vertex.ts';
import { contentDigestOf } from '../src/ops/content-hash.ts';
import { mergeStacks } from '../src/ops/stack-ops.ts';
import { SourceDigests } from '../src/ops/source-digests.ts';
import { FileDigester } from '../src/ops/source-file.ts';
import { atOnce } from '../src/sys/turns.ts';
import { convertText } from './frontend/convert-dockerfile.ts';
import { FakeImageResolver, LINUX_AMD64 } from './frontend/fake-image-resolver.ts';
import { baseManifest, goldenBase } from './golden-caches.ts';
import { CONTEXT, CopyRoom, SCRATCH } from './ops/copy-room.ts';

const VECTORS = new URL('../../shared/corpora/cache-vectors/', import.meta.url).pathname;
const BASE = 'docker.io/library/basex:latest';

interface CacheConfig {
  readonly records: readonly { readonly digest: Digest }[];
}

let room: CopyRoom;
beforeEach(() => {
  room = new CopyRoom();
});
afterEach(() => room.close());

describeNeeding([VECTORS], 'the caches BuildKit exported', () => {
  it('have 37 records, and all 37 are recomputed', async () => {
    layOutContext();
    let count = 0;
    for (const set of ['set1', 'set2', 'set3']) {
      const computed = await recordsOf(set);
      const named = Object.entries(readJSON<Record<string, Digest>>(`${set}/records.json`));
      expect(
        named.filter(([, digest]) => !computed.has(digest)),
        set,
      ).toEqual([]);
      // Both merges of set2 have one digest and one name, so the exported records are one more than the names.
      const exported = readJSON<CacheConfig>(`${set}/cacheconfig.json`).records.map(({ digest }) => digest);
      expect(new Set(exported), set).toEqual(computed);
      count += exported.filter((digest) => computed.has(digest)).length;
    }
    expect(count).toBe(37);
  });
});

function readJSON<T>(path: string): T {
  return JSON.parse(readFileSync(join(VECTORS, path), 'utf8')) as T;
}

async function convertSet(set: string) {
  const resolver = new FakeImageResolver({ [BASE]: {} });
  return await convertText(readFileSync(join(VECTORS, set, 'Dockerfile'), 'utf8'), { resolver });
}

async function recordsOf(set: string): Promise<ReadonlySet<Digest>> {
  const { definition } = await convertSet(set);
  const results = await runFileSteps(definition);
  const records = definition.vertices.flatMap((vertex) =>
    vertex.op.kind === 'source' ? [] : opRecords(vertex, results),
  );
  return new Set([...records, ...(set === 'set3' ? await baseRecords() : [])]);
}

/** The record of the op, and of each content it reads. */
function opRecords({ op, inputs }: Vertex, results: ReadonlyMap<Digest, Result>): readonly Digest[] {
  if (op.kind === 'source') return [];
  const cacheMap = cacheMapOf(op, inputs.length, LINUX_AMD64);
  const contents = inputs.flatMap((input, index) => {
    const selectors = cacheMap.inputs[index]?.contentSelectors;
    if (selectors === undefined) return [];
    const { tree, inSlices } = digestsOf(results.get(input.vertex.digest) ?? SCRATCH);
    return [rootKey(atOnce(contentDigestOf(tree, selectors, inSlices)), -1)];
  });
  return [rootKey(cacheMap.digest, 0), ...contents];
}

function digestsOf(result: Result): SourceDigests {
  if (result.id === CONTEXT.id) return room.openContext();
  return new SourceDigests(room.view(result), { digester: new FileDigester(), now: Date.now, hasRootHeader: true });
}

/** The RUNs of the sets write nothing that a later step reads, so their base stands for their result. */
async function runFileSteps(definition: Definition): Promise<ReadonlyMap<Digest, Result>> {
  const results = new Map<Digest, Result>();
  for (const { digest, op, inputs } of definition.vertices) {
    const read = inputs.map((input) => results.get(input.vertex.digest) ?? SCRATCH);
    if (op.kind === 'source') results.set(digest, op.identifier.startsWith('local://') ? CONTEXT : SCRATCH);
    else if (op.kind === 'file') results.set(digest, (await room.run(op.actions, read))[0] ?? SCRATCH);
    else if (op.kind === 'merge') results.set(digest, mergeStacks(room.store.snapshotter, op, read));
    else results.set(digest, read[0] ?? SCRATCH);
  }
  return results;
}

/** Of the base image of set3, with the blobs that BuildKit made. */
async function baseRecords(): Promise<readonly Digest[]> {
  const base = await goldenBase();
  const manifest = baseManifest(
    base,
    base.layers.map(({ descriptor }) => descriptor),
  );
  const byManifest = imageSourceDigest(digestOf(manifest), LINUX_AMD64);
  const byLayers = layersSourceDigest(base.layers.map(({ diffID }) => diffID));
  return [rootKey(byManifest, 0), rootKey(byLayers, 0)];
}

/** The corpus as it was when it was measured: files 0644, directories 0755, dir/l a link, and the busybox of the first layer. */
function layOutContext(): void {
  for (const name of ['foo', 'bar', 'dir/a', 'dir/sub/b', 'etc/passwd', 'etc/group']) {
    mkdirSync(join(room.context, name, '..'), { recursive: true });
    writeFileSync(join(room.context, name), readFileSync(join(VECTORS, 'ctx', name)));
  }
  symlinkSync('a', join(room.context, 'dir/l'));
  const layer = '54f69bbd803ebe48b30e18ca51f090d0d6c88a39d62c76bc3d9fbc788adb30f4';
  const tar = gunzipSync(readFileSync(join(VECTORS, 'set1/cache/blobs/sha256', layer)));
  const start = tar.indexOf('\x7fELF');
  const size = Number.parseInt(tar.toString('latin1', start - 512 + 124, start - 512 + 135), 8);
  writeFileSync(join(room.context, 'busybox'), tar.subarray(start, start + size), { mode: 0o755 });
}
