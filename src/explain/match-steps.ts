// Which step of an earlier build stood where a step of this one stands.
import type { Digest } from '../../solver/digest.ts';
import type { StepRecord } from '../store/builds.ts';
import { placeOf, type StepPlace } from './step-parts.ts';

interface Placed<Step> {
  readonly step: Step;
  readonly place: StepPlace;
}

type Named = { readonly digest: Digest; readonly name: string };

/**
 * Earlier steps by the digest of the new vertex. Each is given once: by its digest, its text, its place, in this order. Those
 * that have only their place in common stand in the same order as the ones that say the same.
 */
export function matchSteps(
  vertices: readonly Named[],
  earlier: readonly StepRecord[],
): ReadonlyMap<Digest, StepRecord> {
  const matches = new Map<Digest, StepRecord>();
  let news = vertices.map((step) => ({ step, place: placeOf(step.name) }));
  let olds = earlier.map((step) => ({ step, place: placeOf(step.name) }));
  const pairs: [StepPlace, StepPlace][] = [];
  const pass = (isMatch: (now: Placed<Named>, old: Placed<StepRecord>) => boolean): void => {
    for (const now of news) {
      const found = olds.find((old) => isMatch(now, old));
      if (found === undefined) continue;
      matches.set(now.step.digest, found.step);
      pairs.push([now.place, found.place]);
      olds = olds.filter((old) => old !== found);
    }
    news = news.filter(({ step }) => !matches.has(step.digest));
  };
  const isSameStage = (now: Placed<Named>, old: Placed<StepRecord>): boolean => now.place.stage === old.place.stage;
  const isSameKind = (now: Placed<Named>, old: Placed<StepRecord>): boolean => keyword(now) === keyword(old);
  pass((now, old) => now.step.digest === old.step.vertex);
  pass((now, old) => isSameStage(now, old) && now.place.text === old.place.text);
  const isInOrder = ({ place: now }: Placed<Named>, { place: old }: Placed<StepRecord>): boolean =>
    pairs.every(
      ([a, b]) => a.stage !== now.stage || b.stage !== old.stage || a.index < now.index === b.index < old.index,
    );
  const isSamePlace = (now: Placed<Named>, old: Placed<StepRecord>): boolean =>
    isSameStage(now, old) && now.place.index === old.place.index && isInOrder(now, old);
  pass((now, old) => isSameKind(now, old) && isSamePlace(now, old));
  pass((now, old) => isSameStage(now, old) && isSameKind(now, old) && keyword(now) !== 'FROM' && isInOrder(now, old));
  pass((now, old) => now.place.text === old.place.text);
  pass((now, old) => now.place.index > 0 && isSamePlace(now, old));
  return matches;
}

/** Those of the matches that stand where the new step stands, or say the same. */
export function surely(
  vertices: readonly Named[],
  matches: ReadonlyMap<Digest, StepRecord>,
): ReadonlyMap<Digest, StepRecord> {
  const places = new Map(vertices.map(({ digest, name }) => [digest, placeOf(name)]));
  return new Map(
    [...matches].filter(([digest, step]) => {
      const [now, old] = [places.get(digest), placeOf(step.name)];
      if (step.vertex === digest || old.text === now?.text) return true;
      return old.stage === now?.stage && old.index === now.index;
    }),
  );
}

function keyword({ place }: Placed<unknown>): string {
  return place.text.split(/\s/, 1)[0] ?? '';
}
