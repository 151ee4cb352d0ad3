// Makes vertices: the only place where a vertex digest is computed.
import { digestOf } from './digest.ts';
import { encodeOp } from './encode.ts';
import type { Op, OpInput } from './op.ts';
import type { Edge, Vertex, VertexOptions } from './vertex.ts';

/** The vertex of the op with these inputs; equal ops with equal inputs have equal digests, whatever their options. */
export function createVertex(op: Op, inputs: readonly Edge[], options: VertexOptions): Vertex {
  return { digest: digestOf(encodeOp(op, inputs.map(opInputOf))), op, inputs, options };
}

/** The edge as an op names it. */
function opInputOf(edge: Edge): OpInput {
  return { digest: edge.vertex.digest, index: edge.index };
}
