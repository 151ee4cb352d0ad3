import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import { MOUNT_PACK_TYPE, type MountPack } from '../../src/cache/mount-index.ts';
import { PACK_BYTES, planPacks } from '../../src/cache/plan-packs.ts';

const LARGE = PACK_BYTES / 4;

function pack(...ids: readonly string[]): MountPack {
  const blob = { mediaType: MOUNT_PACK_TYPE, digest: digestOf(ids.join()), size: 1 };
  return { blob, chunks: ids.map((id) => ({ id, length: LARGE })) };
}

function plan(earlier: readonly MountPack[], wanted: readonly string[], pinned: readonly string[] = []) {
  const lengths = new Map(wanted.map((id) => [id, LARGE]));
  const { kept, written } = planPacks({ earlier, wanted: lengths, pinned: new Set(pinned) });
  return { kept: kept.map((one) => earlier.indexOf(one)), written };
}

describe('packs', () => {
  it('stay as they are when nothing has changed', () => {
    expect(plan([pack('a'), pack('b', 'c')], ['a', 'b', 'c'])).toEqual({ kept: [0, 1], written: [] });
  });

  it('stay as long as half of them is needed', () => {
    expect(plan([pack('a', 'b', 'c', 'd')], ['a', 'b'])).toEqual({ kept: [0], written: [] });
    expect(plan([pack('a', 'b', 'c', 'd')], ['a'])).toEqual({ kept: [], written: ['a'] });
  });

  it('that are small go together with new chunks, for no more bytes than those have', () => {
    expect(plan([pack('a'), pack('b'), pack('c', 'd', 'e')], ['a', 'b', 'c', 'd', 'e', 'n'])).toEqual({
      kept: [1, 2],
      written: ['a', 'n'],
    });
  });

  it('that alone have what is needed stay', () => {
    expect(plan([pack('a', 'b', 'c', 'd')], ['n'], ['a'])).toEqual({ kept: [0], written: ['n'] });
  });
});
