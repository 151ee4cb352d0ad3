import { describe, expect, it } from 'vitest';
import { createDefinition } from '../../solver/definition.ts';
import type { Edge, Vertex, VertexOptions } from '../../solver/vertex.ts';
import { createVertex } from '../../solver/vertex-factory.ts';

function source(name: string, options: Partial<VertexOptions> = {}): Vertex {
  return createVertex({ kind: 'source', identifier: `local://${name}`, attrs: {} }, [], { name, ...options });
}

function merge(name: string, ...inputs: Vertex[]): Vertex {
  const edges = inputs.map((vertex): Edge => ({ vertex, index: 0 }));
  return createVertex({ kind: 'merge', inputs: inputs.map((_, index) => index) }, edges, { name });
}

describe('createDefinition', () => {
  it('is empty without a head', () => {
    expect(createDefinition(undefined)).toEqual({ vertices: [], head: undefined });
  });

  it('lists inputs before their users, and equal vertices once', () => {
    const left = merge('left', source('a'), source('b'));
    const right = merge('right', source('b'), source('a'));
    const head = { vertex: merge('head', right, left, merge('again', source('a'), source('b'))), index: 0 };
    const definition = createDefinition(head);
    expect(definition.vertices.map((vertex) => vertex.options.name)).toEqual(['b', 'a', 'right', 'left', 'head']);
    expect(definition.head).toBe(head);
  });

  it('keeps, of equal vertices, the one that ignores the cache', () => {
    const head = { vertex: merge('head', source('a'), source('a', { ignoreCache: true })), index: 0 };
    expect(createDefinition(head).vertices[0]?.options.ignoreCache).toBe(true);
  });

  it('refuses a vertex that is its own input', () => {
    const inputs: Edge[] = [];
    const vertex: Vertex = { ...source('a'), inputs };
    inputs.push({ vertex, index: 0 });
    expect(() => createDefinition({ vertex, index: 0 })).toThrow(
      `internal error: vertex ${vertex.digest} is its own input`,
    );
  });
});
