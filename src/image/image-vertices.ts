// Which vertices of a definition become layers of the image: those on the way from the head down its root filesystem.
import type { Definition } from '../../solver/definition.ts';
import type { Digest } from '../../solver/digest.ts';
import type { Edge, Vertex } from '../../solver/vertex.ts';

/** Digests of the vertices whose results are stacked into the head's. */
export function imageVertices({ head }: Definition): ReadonlySet<Digest> {
  const found = new Set<Digest>();
  const pending: Edge[] = head === undefined ? [] : [head];
  for (let edge = pending.pop(); edge !== undefined; edge = pending.pop()) {
    if (found.has(edge.vertex.digest)) continue;
    found.add(edge.vertex.digest);
    pending.push(...rootInputs(edge.vertex));
  }
  return found;
}

function rootInputs({ op, inputs }: Vertex): readonly Edge[] {
  const input = (index: number | undefined): readonly Edge[] => {
    const edge = index === undefined ? undefined : inputs[index];
    return edge === undefined ? [] : [edge];
  };
  switch (op.kind) {
    case 'source':
      return [];
    case 'exec':
      return input(op.mounts[0]?.input);
    case 'file':
      return input(op.actions[0]?.input);
    case 'merge':
    case 'diff':
      return inputs;
  }
}
