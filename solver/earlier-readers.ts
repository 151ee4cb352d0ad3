// Who else reads a directory of the user's, so that of several paths that are not there the first is reported.
import { LOCAL_SCHEME } from './source-schemes.ts';
import type { Vertex } from './vertex.ts';

/** One input of one vertex. */
export interface Reader {
  readonly vertex: Vertex;
  readonly index: number;
}

/** For each input that is a local directory: the input before it, in the order of the vertices, that is the same one. */
export function earlierReaders(vertices: Iterable<Vertex>): ReadonlyMap<string, Reader> {
  const last = new Map<string, Reader>();
  const earlier = new Map<string, Reader>();
  for (const vertex of vertices) {
    vertex.inputs.forEach((input, index) => {
      const { op, digest } = input.vertex;
      if (op.kind !== 'source' || !op.identifier.startsWith(LOCAL_SCHEME)) return;
      const before = last.get(digest);
      const reader = { vertex, index };
      if (before !== undefined) earlier.set(readerName(reader), before);
      last.set(digest, reader);
    });
  }
  return earlier;
}

/** The name of an input of a vertex, unique in a definition. */
export function readerName({ vertex, index }: Reader): string {
  return `${vertex.digest} ${index}`;
}
