// A draft is a vertex that is not finished: which paths of the build context are needed is known only after every
// stage has been converted, so digests are computed at the end, from the sources up.
import type { Definition } from '../solver/definition.ts';
import { createDefinition } from '../solver/definition.ts';
import type { Op, SourceOp } from '../solver/op.ts';
import type { Edge, VertexOptions } from '../solver/vertex.ts';
import { createVertex } from '../solver/vertex-factory.ts';
import { atRange } from './errors.ts';

/** A tree to come: output 0 of a vertex, or the empty tree. */
export type Tree = Draft | undefined;

/** Where a draft's sources ended up among the vertex's inputs; equal inputs are one. */
export interface InputPlaces {
  /** For each source its input number, or -1 for the empty tree. */
  readonly places: readonly number[];
  readonly inputCount: number;
}

/** `createOp` is called when all sources are finished, with their places. A draft that several use is one vertex. */
export interface Draft {
  readonly sources: readonly Tree[];
  readonly createOp: (inputs: InputPlaces) => Op;
  readonly options: VertexOptions;
}

/** The finished graph of everything `tree` needs; `changeSource` has the last word on what is fetched. */
export function finishDefinition(tree: Tree, changeSource: ChangeSource = (op) => op): Definition {
  const finished = new Map<Draft, Edge>();
  return createDefinition(tree === undefined ? undefined : finishTree(tree, finished, changeSource));
}

/** Throws for a source that must not be used. */
export type ChangeSource = (op: SourceOp) => SourceOp;

function finishTree(tree: Draft, finished: Map<Draft, Edge>, changeSource: ChangeSource): Edge {
  const pending = [tree];
  for (let draft = pending.at(-1); draft !== undefined; draft = pending.at(-1)) {
    const open = draft.sources.filter((source) => source !== undefined).filter((source) => !finished.has(source));
    if (open.length > 0) {
      pending.push(...open);
      continue;
    }
    if (!finished.has(draft)) finished.set(draft, finishDraft(draft, finished, changeSource));
    pending.pop();
  }
  const edge = finished.get(tree);
  if (edge === undefined) throw new Error('internal error: a draft was not finished');
  return edge;
}

function finishDraft(draft: Draft, finished: ReadonlyMap<Draft, Edge>, changeSource: ChangeSource): Edge {
  const inputs: Edge[] = [];
  const placeByKey = new Map<string, number>();
  const places = draft.sources.map((source) => {
    const edge = source === undefined ? undefined : finished.get(source);
    if (edge === undefined) return -1;
    const key = `${edge.vertex.digest}@${edge.index}`;
    const known = placeByKey.get(key);
    if (known !== undefined) return known;
    placeByKey.set(key, inputs.length);
    return inputs.push(edge) - 1;
  });
  const op = draft.createOp({ places, inputCount: inputs.length });
  const { range } = draft.options;
  const change = (source: SourceOp): SourceOp =>
    range === undefined ? changeSource(source) : atRange(range, () => changeSource(source));
  return { vertex: createVertex(op.kind === 'source' ? change(op) : op, inputs, draft.options), index: 0 };
}
