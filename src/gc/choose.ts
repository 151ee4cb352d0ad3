// What goes first: what was not used for long, and of that what is large.
import type { Holding, StoreGraph } from './store-graph.ts';

const MB = 1_000_000;

/** What may go, and how much has to; times are UTC, ms since the epoch. */
export interface ChoiceOptions {
  readonly nowMs: number;
  /** Only what was not used since then. */
  readonly unusedSinceMs?: number;
  /** Stop when so many bytes are free; absent: give up all that may be. */
  readonly bytesToFree?: number;
  /** Also what frees nothing, because an image needs the same. */
  readonly withPinned?: boolean;
}

/** The holdings to give up; the graph has let go of them when this returns. */
export function chooseHoldings(graph: StoreGraph, options: ChoiceOptions): readonly Holding[] {
  const { nowMs, unusedSinceMs, bytesToFree = Number.POSITIVE_INFINITY, withPinned = false } = options;
  const isCandidate = (holding: Holding): boolean =>
    (unusedSinceMs === undefined || holding.usedAtMs < unusedSinceMs) && (withPinned || !graph.isPinned(holding));
  const scores = new Map(
    graph.holdings.filter(isCandidate).map((holding) => [holding, scoreOf(graph, holding, nowMs)]),
  );
  const chosen = new Set<Holding>();
  let freed = 0;
  for (const [holding] of [...scores].sort(([, a], [, b]) => b - a)) {
    if (freed >= bytesToFree) break;
    for (const one of graph.withThoseAbove(holding)) {
      if (chosen.has(one) || !scores.has(one) || freed >= bytesToFree) continue;
      chosen.add(one);
      freed += graph.release(one);
    }
  }
  return [...chosen];
}

function scoreOf(graph: StoreGraph, holding: Holding, nowMs: number): number {
  return idleScore(nowMs - holding.usedAtMs, graph.sizeOf(holding));
}

/** The higher, the sooner it goes: idle time counts, and a large thing must be used more often to be worth its room. */
export function idleScore(idleMs: number, sizeBytes: number): number {
  return Math.max(1, idleMs) * (1 + Math.log2(1 + sizeBytes / MB));
}
