import { expect, it } from 'vitest';
import { newKeyID, rootKey } from '../../solver/cache-key.ts';
import { digestOf } from '../../solver/digest.ts';
import { MemoryCacheStore } from '../../solver/memory-cache-store.ts';
import { cacheStoreSuite } from './cache-store-suite.ts';

cacheStoreSuite('MemoryCacheStore', () => new MemoryCacheStore(() => 0));

it('a root key has the id BuildKit gives it', () => {
  const digest = digestOf('x');
  expect(new MemoryCacheStore(() => 0).save({ digest, output: -1, inputs: [] })).toBe(rootKey(digest, -1));
});

it('the id of a new key does not depend on the order of alternatives', () => {
  const [a, b] = [{ keyID: 'a' }, { keyID: 'b', selector: digestOf('/') }];
  const spec = { digest: digestOf('x'), output: 0 };
  expect(newKeyID({ ...spec, inputs: [[a, b]] })).toBe(newKeyID({ ...spec, inputs: [[b, a]] }));
  expect(newKeyID({ ...spec, inputs: [[a], [b]] })).not.toBe(newKeyID({ ...spec, inputs: [[b], [a]] }));
});
