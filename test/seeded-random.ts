/** A whole number from 0 up to `below`, which is not among them. */
export type Random = (below: number) => number;

/** Numbers that are the same in every run. */
export function seededRandom(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
