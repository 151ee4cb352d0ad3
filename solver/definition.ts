// A definition is a whole graph: vertices in topological order and the edge that is wanted.
import type { Digest } from './digest.ts';
import type { Edge, Vertex } from './vertex.ts';

/**
 * Complete: every input of a vertex is a vertex of it, so it can be solved, sent or shown without looking elsewhere.
 */
export interface Definition {
  /** Inputs before the vertices that use them; each digest once. */
  readonly vertices: readonly Vertex[];
  /** Undefined for an image without any layer of its own (`FROM scratch` alone). */
  readonly head: Edge | undefined;
}

/**
 * The graph under the head. The order depends on the graph alone: depth first, inputs in their order. Of equal vertices
 * the first met is kept, unless only a later one ignores the cache.
 */
export function createDefinition(head: Edge | undefined): Definition {
  const kept = new Map<Digest, Vertex>();
  const open = new Set<Digest>();
  const seen = new Set<Vertex>();

  function visit(vertex: Vertex): void {
    if (seen.has(vertex)) return;
    if (open.has(vertex.digest)) throw new Error(`internal error: vertex ${vertex.digest} is its own input`);
    open.add(vertex.digest);
    for (const input of vertex.inputs) visit(input.vertex);
    open.delete(vertex.digest);
    seen.add(vertex);
    const first = kept.get(vertex.digest);
    if (first === undefined || (vertex.options.ignoreCache && !first.options.ignoreCache))
      kept.set(vertex.digest, vertex);
  }

  if (head !== undefined) visit(head.vertex);
  return { vertices: [...kept.values()], head };
}
