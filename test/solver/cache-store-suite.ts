// What every cache store promises, run once for each implementation.
import { beforeEach, describe, expect, it } from 'vitest';
import type { CacheKeySpec, CacheLink, CacheStore, KeyParts } from '../../solver/cache-store.ts';
import { digestOf } from '../../solver/digest.ts';

const parts: KeyParts = {
  vertexName: '[1/1] COPY foo /',
  opDigest: digestOf('op'),
  contents: [{ input: 1, digest: digestOf('foo') }],
};

function root(name: string, output = 0): CacheKeySpec {
  return { digest: digestOf(name), output, inputs: [] };
}

function step(name: string, ...inputs: readonly CacheLink[][]): CacheKeySpec {
  return { digest: digestOf(name), output: 0, inputs };
}

/** The suite; `create` makes an empty store. */
export function cacheStoreSuite(name: string, create: () => CacheStore | Promise<CacheStore>): void {
  describe(name, () => {
    let store: CacheStore;
    let a: CacheLink;
    let b: CacheLink;
    let c: CacheLink;

    beforeEach(async () => {
      store = await create();
      [a, b, c] = ['a', 'b', 'c'].map((key) => ({ keyID: store.save(root(key)) })) as [CacheLink, CacheLink, CacheLink];
    });

    it('finds a root key by its digest and output once it is saved', () => {
      expect(store.find(root('r'))).toEqual([]);
      const keyID = store.save(root('r', -1));
      expect(store.find(root('r', -1))).toEqual([keyID]);
      expect(store.find(root('r', 0))).toEqual([]);
      expect(store.save(root('r', -1))).toBe(keyID);
    });

    it('finds a step by the keys of its inputs', () => {
      const keyID = store.save(step('s', [a], [b]));
      expect(store.find(step('s', [a], [b]))).toEqual([keyID]);
      expect(store.save(step('s', [a], [b]))).toBe(keyID);
    });

    it('tells keys apart by op digest, output, input number and selector', () => {
      store.save(step('s', [a], [{ ...b, selector: digestOf('/x') }]));
      const others = [
        step('other', [a], [{ ...b, selector: digestOf('/x') }]),
        { ...step('s', [a], [{ ...b, selector: digestOf('/x') }]), output: 1 },
        step('s', [{ ...b, selector: digestOf('/x') }], [a]),
        step('s', [a], [{ ...b, selector: digestOf('/y') }]),
        step('s', [a], [b]),
      ];
      expect(others.map((spec) => store.find(spec))).toEqual([[], [], [], [], []]);
    });

    it('matches on every input, not on one of them', () => {
      const withB = store.save(step('s', [a], [b]));
      expect(store.find(step('s', [a], [c]))).toEqual([]);
      const withC = store.save(step('s', [a], [c]));
      expect(withC).not.toBe(withB);
      expect(store.find(step('s', [a], [b]))).toEqual([withB]);
      expect(store.find(step('s', [a], [c]))).toEqual([withC]);
    });

    it('does not take a step for another with fewer inputs', () => {
      const two = store.save(step('s', [a], [b]));
      expect(store.find(step('s', [a]))).toEqual([]);
      const one = store.save(step('s', [a]));
      expect(one).not.toBe(two);
      expect(store.find(step('s', [a]))).toEqual([one]);
      expect(store.find(step('s', [a], [b]))).toEqual([two]);
    });

    it('finds nothing when an input is known by no key', () => {
      store.save(step('s', [a], [b]));
      expect(store.find(step('s', [a], []))).toEqual([]);
    });

    it('finds a step by any alternative of an input', () => {
      const keyID = store.save(step('s', [a, b], [c]));
      expect(store.find(step('s', [a], [c]))).toEqual([keyID]);
      expect(store.find(step('s', [b], [c]))).toEqual([keyID]);
      expect(store.find(step('s', [c, b], [a, c]))).toEqual([keyID]);
    });

    it('adds the links of a later save to a key that is known already', () => {
      const keyID = store.save(step('s', [a], [c]));
      expect(store.save(step('s', [a, b], [c]))).toBe(keyID);
      expect(store.find(step('s', [b], [c]))).toEqual([keyID]);
    });

    it('adds links to the key that is named, though they lead to another one as well', () => {
      const byDefinition = [a];
      const first = store.save(step('s', [...byDefinition, b]));
      const second = store.save(step('s', [c]));
      expect(store.save(step('s', [...byDefinition, c]), second)).toBe(second);
      expect([...store.find(step('s', byDefinition))].sort()).toEqual([first, second].sort());
      expect(store.find(step('s', [b]))).toEqual([first]);
      expect(store.find(step('s', [c]))).toEqual([second]);
    });

    it('finds several keys when alternatives lead to different ones', () => {
      const byA = store.save(step('s', [a]));
      const byB = store.save(step('s', [b]));
      expect([...store.find(step('s', [a, b]))].sort()).toEqual([byA, byB].sort());
      expect([byA, byB]).toContain(store.save(step('s', [a, b])));
    });

    it('follows a chain of steps', () => {
      const first = store.save(step('first', [a]));
      const second = store.save(step('second', [{ keyID: first }]));
      expect(store.find(step('second', [{ keyID: store.find(step('first', [a]))[0] ?? '' }]))).toEqual([second]);
    });

    it('lists results newest first, the empty tree among them', () => {
      expect(store.records(a.keyID)).toEqual([]);
      store.saveResult(a.keyID, 'one', parts);
      store.saveResult(a.keyID, undefined, parts);
      store.saveResult(a.keyID, 'two', parts);
      expect(store.records(a.keyID).map((record) => record.resultID)).toEqual(['two', undefined, 'one']);
      expect(store.records(a.keyID).every((record) => record.keyID === a.keyID)).toBe(true);
      expect(store.records(b.keyID)).toEqual([]);
    });

    it('keeps one record of a result that is saved twice', () => {
      store.saveResult(a.keyID, 'one', parts);
      store.saveResult(a.keyID, 'one', parts);
      store.saveResult(b.keyID, undefined, parts);
      store.saveResult(b.keyID, undefined, parts);
      expect(store.records(a.keyID)).toHaveLength(1);
      expect(store.records(b.keyID)).toHaveLength(1);
    });

    it('forgets a dropped result but neither the others nor the key', () => {
      const keyID = store.save(step('s', [a]));
      store.saveResult(keyID, 'one', parts);
      store.saveResult(keyID, undefined, parts);
      store.dropResult(keyID, undefined);
      store.dropResult(keyID, 'never saved');
      expect(store.records(keyID).map((record) => record.resultID)).toEqual(['one']);
      store.dropResult(keyID, 'one');
      expect(store.records(keyID)).toEqual([]);
      expect(store.find(step('s', [a]))).toEqual([keyID]);
    });
  });
}
