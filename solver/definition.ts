// A definition is a whole graph: vertices in topological order and the edge that is wanted.
import type { Edge, Vertex } from './vertex.ts';

export interface Definition {
  /** Inputs before the vertices that use them; each digest once. */
  readonly vertices: readonly Vertex[];
  /** Undefined for an image without any layer of its own (`FROM scratch` alone). */
  readonly head: Edge | undefined;
}
