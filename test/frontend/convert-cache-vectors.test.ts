// The records of the caches BuildKit exported, recomputed from the Dockerfiles they were made of.
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { rootKey } from '../../solver/cache-key.ts';
import { cacheMapOf } from '../../solver/cache-map.ts';
import type { Digest } from '../../solver/digest.ts';
import { convertText } from './convert-dockerfile.ts';
import { FakeImageResolver, LINUX_AMD64 } from './fake-image-resolver.ts';

const vectors = new URL('../../../shared/corpora/cache-vectors/', import.meta.url);

/** Records of bytes, not of ops: what a context holds, and image manifests. */
const NOT_AN_OP = /content|image/;

async function recordsOf(set: string): Promise<ReadonlySet<string>> {
  const resolver = new FakeImageResolver({ 'docker.io/library/basex:latest': {} });
  const { definition } = await convertText(readFileSync(new URL(`${set}/Dockerfile`, vectors), 'utf8'), { resolver });
  const keys = definition.vertices.flatMap(({ op, inputs }): readonly Digest[] =>
    op.kind === 'source' ? [] : [rootKey(cacheMapOf(op, inputs.length, LINUX_AMD64).digest, 0)],
  );
  return new Set(keys);
}

function opRecords(set: string): readonly (readonly [string, string])[] {
  if (!existsSync(vectors)) return [];
  const records = JSON.parse(readFileSync(new URL(`${set}/records.json`, vectors), 'utf8')) as Record<string, string>;
  return Object.entries(records).filter(([name]) => !NOT_AN_OP.test(name));
}

describeNeeding([vectors], 'record digests', () => {
  test.each(['set1', 'set2', 'set3'])('every op of %s has the record BuildKit exported', async (set) => {
    const computed = await recordsOf(set);
    const expected = opRecords(set);
    expect(expected.length).toBeGreaterThan(0);
    expect(expected.filter(([, digest]) => !computed.has(digest))).toEqual([]);
    expect([...computed].filter((digest) => !expected.some(([, known]) => known === digest))).toEqual([]);
  });
});
