// Merge and diff ops: stacks put together and taken apart without copying a byte.
import { TsbuildError } from '../../solver/errors.ts';
import type { DiffOp, MergeOp } from '../../solver/op.ts';
import type { Result } from '../../solver/op-runner.ts';
import type { SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';

/** The changes of each input on top of those before it. */
export function mergeStacks(snapshotter: Snapshotter, op: MergeOp, inputs: readonly Result[]): Result {
  let merged: SnapshotName | undefined;
  for (const index of op.inputs) {
    const id = index < 0 ? undefined : inputs[index]?.id;
    if (id === undefined) continue;
    if (merged === undefined) merged = id;
    else for (const name of snapshotter.chain(id)) merged = snapshotter.stackOn(merged, name);
  }
  return { id: merged };
}

/** What `upper` has on top of `lower`. Throws TSB_DIFF_UNSUPPORTED unless it is built on it. */
export function subtractStack(snapshotter: Snapshotter, op: DiffOp, inputs: readonly Result[]): Result {
  const chainOf = (index: number): readonly SnapshotName[] => {
    const id = index < 0 ? undefined : inputs[index]?.id;
    return id === undefined ? [] : snapshotter.chain(id);
  };
  const below = chainOf(op.lower);
  const above = chainOf(op.upper);
  if (below.some((name, index) => above[index] !== name)) {
    throw new TsbuildError(
      'TSB_DIFF_UNSUPPORTED',
      'cannot take the difference of trees that are not built on each other',
    );
  }
  let result: SnapshotName | undefined;
  for (const name of above.slice(below.length)) result = snapshotter.stackOn(result, name);
  return { id: result };
}
