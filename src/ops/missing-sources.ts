// What else a build has not got when one source of a copy is missing: told at once, to be mended at once.
import { attributeTo } from '../../solver/attempts.ts';
import type { Definition } from '../../solver/definition.ts';
import { TsbuildError, TsbuildErrors } from '../../solver/errors.ts';
import type { CopyAction } from '../../solver/op.ts';
import { LOCAL_SCHEME } from '../../solver/source-schemes.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { FileTree } from '../snapshot/file-tree.ts';
import { requireSources } from './copy.ts';
import { explainMissing } from './missing-source.ts';

const CODE = 'TSB_COPY_SOURCE_NOT_FOUND';

/**
 * The error, first, with those that the definition's other copies from local contexts would fail with, in the order of their
 * lines; any other error, or one alone, as it is. `treeOf` gives the context of a name.
 */
export function withOtherMissing(error: unknown, definition: Definition, treeOf: (name: string) => FileTree): unknown {
  if (!(error instanceof TsbuildError) || error.code !== CODE) return error;
  const others = definition.vertices
    .flatMap((vertex) => missingOf(vertex, treeOf))
    .filter((other) => other.message !== error.message || lineOf(other) !== lineOf(error))
    .toSorted((left, right) => lineOf(left) - lineOf(right));
  return others.length === 0 ? error : new TsbuildErrors([error, ...others]);
}

function missingOf(vertex: Vertex, treeOf: (name: string) => FileTree): readonly TsbuildError[] {
  const { op } = vertex;
  if (op.kind !== 'file') return [];
  return op.actions.flatMap((action) => {
    if (action.action !== 'copy') return [];
    const made = vertex.inputs[action.secondaryInput]?.vertex.op;
    if (made?.kind !== 'source' || !made.identifier.startsWith(LOCAL_SCHEME)) return [];
    return missingFrom(treeOf(made.identifier.slice(LOCAL_SCHEME.length)), action, vertex);
  });
}

function missingFrom(tree: FileTree, action: CopyAction, vertex: Vertex): readonly TsbuildError[] {
  try {
    requireSources(tree, action);
    return [];
  } catch (error) {
    const explained = attributeTo(vertex, explainMissing(error, tree));
    return explained instanceof TsbuildError && explained.code === CODE ? [explained] : [];
  }
}

function lineOf({ range }: TsbuildError): number {
  return range?.start.line ?? 0;
}
