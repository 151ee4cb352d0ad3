// Which packs of an earlier export still serve, and which chunks have to be written into new ones.
import type { MountPack } from './mount-index.ts';

/** Uncompressed, in bytes: a new pack ends before it gets longer. */
export const PACK_BYTES = 4 * 1024 * 1024;

interface PlanPacksOptions {
  /** Of the earlier export, in its order. */
  readonly earlier: readonly MountPack[];
  /** Lengths of the chunks that are needed, by id, in the order in which they are to be written. */
  readonly wanted: ReadonlyMap<string, number>;
  /** Needed, too, but only in the earlier packs. */
  readonly pinned: ReadonlySet<string>;
}

interface PackPlan {
  readonly kept: readonly MountPack[];
  /** Ids. */
  readonly written: readonly string[];
}

interface UsedPack {
  readonly pack: MountPack;
  readonly liveBytes: number;
  readonly isPinned: boolean;
}

/**
 * A pack stays as long as half of it is needed. Small ones are written anew together with new chunks, for no more bytes
 * than those have, so that neither dead bytes nor small packs pile up, and an export moves twice what has changed at most.
 */
export function planPacks({ earlier, wanted, pinned }: PlanPacksOptions): PackPlan {
  const used = usedPacks(earlier, wanted, pinned);
  const kept = new Set(used.filter((one) => one.isPinned || 2 * one.liveBytes >= bytesOf(one.pack)));
  let spareBytes = writtenOf(kept, wanted).reduce((sum, id) => sum + (wanted.get(id) ?? 0), 0);
  const small = [...kept].filter(({ isPinned, liveBytes }) => !isPinned && 2 * liveBytes < PACK_BYTES);
  for (const one of small.sort((a, b) => a.liveBytes - b.liveBytes)) {
    if (one.liveBytes > spareBytes) break;
    spareBytes -= one.liveBytes;
    kept.delete(one);
  }
  return { kept: used.filter((one) => kept.has(one)).map(({ pack }) => pack), written: writtenOf(kept, wanted) };
}

/** Packs with something that no pack before them has. */
function usedPacks(
  earlier: readonly MountPack[],
  wanted: ReadonlyMap<string, number>,
  pinned: ReadonlySet<string>,
): readonly UsedPack[] {
  const found = new Set<string>();
  const used: UsedPack[] = [];
  for (const pack of earlier) {
    let [liveBytes, isPinned] = [0, false];
    for (const { id, length } of pack.chunks) {
      if (found.has(id) || !(wanted.has(id) || pinned.has(id))) continue;
      found.add(id);
      liveBytes += length;
      isPinned ||= pinned.has(id);
    }
    if (liveBytes > 0 || isPinned) used.push({ pack, liveBytes, isPinned });
  }
  return used;
}

function bytesOf({ chunks }: MountPack): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}

function writtenOf(kept: ReadonlySet<UsedPack>, wanted: ReadonlyMap<string, number>): readonly string[] {
  const there = new Set([...kept].flatMap(({ pack }) => pack.chunks.map(({ id }) => id)));
  return [...wanted.keys()].filter((id) => !there.has(id));
}
