import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { LazyLayer } from '../../src/image/lazy-note.ts';
import { LostLayers } from '../../src/image/lost-layers.ts';

function layer(name: string, path = 'app'): LazyLayer {
  const blob = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(name), size: 1 };
  return { diffID: digestOf(`diff of ${name}`), blob, place: { kind: 'registry', domain: 'reg.example', path } };
}

describe('lost layers', () => {
  const warnings: string[] = [];
  const open = (): LostLayers => {
    warnings.length = 0;
    return new LostLayers((message) => warnings.push(message));
  };

  it.each([
    ['TSB_REGISTRY_UNREACHABLE', 'all that is there', true],
    ['TSB_REGISTRY_UNAUTHORIZED', 'all that is there', true],
    ['TSB_REGISTRY_UNAVAILABLE', 'all that is there', true],
    ['TSB_S3_NO_CREDENTIALS', 'all that is there', true],
    ['TSB_LAYER_STALLED', 'all that is there', true],
    ['TSB_REGISTRY_NOT_FOUND', 'one blob', false],
    ['TSB_S3_NOT_FOUND', 'one blob', false],
    ['TSB_LAYOUT_DAMAGED', 'one blob', false],
    ['TSB_CONTENT_DIGEST_MISMATCH', 'one blob', false],
    ['TSB_CONTENT_INCOMPLETE', 'one blob', false],
    ['TSB_REGISTRY_CONFIG_INVALID', 'nothing', undefined],
    ['TSB_STORE_NO_SPACE', 'nothing', undefined],
    ['TSB_IMAGE_DIFF_ID_MISMATCH', 'nothing', undefined],
  ])('%s loses %s', (code, what, isAway) => {
    const lost = open();
    lost.add(layer('a'), new TsbuildError(code, 'fact'));
    expect(lost.find(layer('a'))?.isAway).toBe(isAway);
    expect(lost.find(layer('b')) !== undefined).toBe(what === 'all that is there');
    expect(lost.find(layer('a', 'other'))).toBeUndefined();
  });

  it('are worth a new beginning once each, whichever of several failures is seen', () => {
    const lost = open();
    const [first, second, gone] = ['UNREACHABLE', 'UNREACHABLE', 'NOT_FOUND'].map(
      (fact, at) => new TsbuildError(`TSB_REGISTRY_${fact}`, `fact ${at}`),
    );
    lost.add(layer('a'), first);
    lost.add(layer('b'), second);
    expect([second, first].map((error) => lost.tellNew(error))).toEqual([true, false]);
    lost.add(layer('c'), gone);
    expect([gone, gone, new Error('other')].map((error) => lost.tellNew(error))).toEqual([true, false, false]);
    expect(warnings).toEqual([
      'cannot use cached layers of reg.example/app, so steps whose results are only there run again: fact 1',
    ]);
  });
});
