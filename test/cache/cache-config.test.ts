import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { rootKey } from '../../solver/cache-key.ts';
import { type Digest, digestOf } from '../../solver/digest.ts';
import { layersSourceDigest } from '../../solver/source-key.ts';
import { arrangeConfig, type GraphKey } from '../../src/cache/arrange-config.ts';
import {
  type CacheConfig,
  encodeCacheConfig,
  encodeInlineRecords,
  NO_PARENT,
  parseCacheConfig,
  parseInlineRecords,
} from '../../src/cache/cache-config.ts';

const VECTORS = new URL('../../../shared/corpora/cache-vectors/', import.meta.url);
const [a, b] = [digestOf('a'), digestOf('b')];

function parse(value: unknown): CacheConfig {
  return parseCacheConfig(Buffer.from(JSON.stringify(value)), 'cache x');
}

describeNeeding([VECTORS], 'configs that BuildKit exported', () => {
  for (const set of ['set1', 'set2', 'set3']) {
    const bytes = existsSync(VECTORS) ? readFileSync(new URL(`${set}/cacheconfig.json`, VECTORS)) : Buffer.alloc(0);

    it(`are written as they were read: ${set}`, () => {
      expect(encodeCacheConfig(parseCacheConfig(bytes, set)).toString()).toBe(bytes.toString());
    });

    it(`come out of their graph in the same order: ${set}`, () => {
      const config = parseCacheConfig(bytes, set);
      for (const keys of [graphOf(config), graphOf(config).reverse()]) {
        expect(encodeCacheConfig(arrangeConfig(keys)).toString()).toBe(bytes.toString());
      }
    });
  }
});

describeNeeding([VECTORS], 'a base image', () => {
  it('has the key of its layers', () => {
    const { layers } = JSON.parse(readFileSync(new URL('set3/cache-manifest.json', VECTORS), 'utf8'));
    const config = parseCacheConfig(readFileSync(new URL('set3/cacheconfig.json', VECTORS)), 'set3');
    const diffIDs: Digest[] = [];
    const [run] = config.records.filter(({ inputs }) => inputs.length > 0);
    for (let at = config.layers[run?.layers[0]?.layer ?? 0]?.parent ?? NO_PARENT; at !== NO_PARENT; ) {
      diffIDs.unshift(layers[at].annotations['containerd.io/uncompressed']);
      at = config.layers[at]?.parent ?? NO_PARENT;
    }
    expect(config.records.map(({ digest }) => digest)).toContain(rootKey(layersSourceDigest(diffIDs), 0));
  });
});

describe('a cache config', () => {
  it('leaves out what is zero or empty, but neither links nor layers', () => {
    const config: CacheConfig = {
      layers: [
        { blob: a, parent: NO_PARENT },
        { blob: b, parent: 0 },
      ],
      records: [
        { digest: a, layers: [], chains: [], inputs: [] },
        { digest: b, layers: [{ layer: 0, createdAt: 'T' }], chains: [{ layers: [0, 1] }], inputs: [[{ link: 0 }]] },
      ],
    };
    const text = `{"layers":[{"blob":"${a}","parent":-1},{"blob":"${b}"}],"records":[{"digest":"${a}"},{"layers":[{"layer":0,"createdAt":"T"}],"chains":[{"layers":[0,1]}],"digest":"${b}","inputs":[[{"link":0}]]}]}`;
    expect(encodeCacheConfig(config).toString()).toBe(text);
    expect(parseCacheConfig(Buffer.from(text), 'cache x')).toEqual(config);
    expect(encodeCacheConfig({ layers: [], records: [] }).toString()).toBe('{}');
  });

  it('sorts records of one digest by the digests of their inputs, whatever is below those', () => {
    const [x, m] = [digestOf('x'), digestOf('m')];
    const [first, second] = [a, b].sort();
    const key = (id: string, digest: Digest, ...from: readonly string[]): GraphKey => ({
      id,
      digest,
      inputs: from.map((one) => [{ from: one }]),
      result: undefined,
    });
    const roots = [key('first', first ?? a), key('second', second ?? b)];
    // Two records of one digest, which of them is below must not count.
    const inner = [key('x1', x, 'first'), key('x2', x, 'second')];
    for (const [one, other] of [
      ['x1', 'x2'],
      ['x2', 'x1'],
    ] as const) {
      const keys = [...roots, ...inner, key('m1', m, one, 'second'), key('m2', m, other, 'first')];
      const { records } = arrangeConfig(keys);
      const outer = records.filter(({ digest }) => digest === m);
      expect(outer.map(({ inputs }) => records[inputs[1]?.[0]?.link ?? 0]?.digest)).toEqual([first, second]);
    }
  });

  it('is a list of records when it is inline', () => {
    const records = [{ digest: a, layers: [{ layer: 1 }], chains: [], inputs: [] }];
    const bytes = encodeInlineRecords(records);
    expect(bytes.toString()).toBe(`[{"layers":[{"layer":1}],"digest":"${a}"}]`);
    expect(parseInlineRecords(bytes, 2, 'image x')).toEqual(records);
    expect(() => parseInlineRecords(bytes, 1, 'image x')).toThrow(`image x: bad cache: bad layer 1 in record ${a}`);
  });

  it('is refused when an index leads out of it, or parents in a circle', () => {
    const layer = (parent: number) => ({ blob: a, parent });
    expect(() => parse([])).toThrow('cache x: bad cache: it is no JSON object');
    expect(() => parse({ layers: [{ blob: 'x' }] })).toThrow('cache x: bad cache: bad blob "x"');
    expect(() => parse({ layers: [layer(1)] })).toThrow('cache x: bad cache: the parents of layer 0 lead nowhere');
    expect(() => parse({ layers: [layer(1), layer(0)] })).toThrow('the parents of layer 0 lead nowhere');
    expect(() => parse({ records: [{ digest: 'x' }] })).toThrow('cache x: bad cache: bad record "x"');
    expect(() => parse({ records: [{ digest: a, inputs: [[{ link: 1 }]] }] })).toThrow(`bad link 1 in record ${a}`);
    expect(() => parse({ records: [{ digest: a, layers: [{ layer: 0 }] }] })).toThrow(`bad layer 0 in record ${a}`);
    expect(() => parse({ records: [{ digest: a, inputs: [[{ selector: 'x' }]] }] })).toThrow('bad selector "x"');
    expect(() => parseCacheConfig(Buffer.alloc(1024 * 1024 + 1), 'cache x')).toThrow('its config has 1048577 bytes');
  });
});

/** The graph that a config says. */
function graphOf({ layers, records }: CacheConfig): GraphKey[] {
  const blobsOf = (index: number): readonly ReturnType<typeof digestOf>[] => {
    const layer = layers[index];
    return layer === undefined ? [] : [...blobsOf(layer.parent), layer.blob];
  };
  return records.map(({ digest, inputs, layers: results }, index) => ({
    id: `key ${index}`,
    digest,
    inputs: inputs.map((links) => links.map(({ link, ...rest }) => ({ ...rest, from: `key ${link}` }))),
    result: results[0] && { blobs: blobsOf(results[0].layer), createdAt: results[0].createdAt ?? '' },
  }));
}
