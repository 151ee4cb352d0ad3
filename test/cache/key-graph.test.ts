import { describe, expect, it } from 'vitest';
import type { CacheLink } from '../../solver/cache-store.ts';
import { rootKey } from '../../solver/cache-key.ts';
import { createDefinition } from '../../solver/definition.ts';
import { digestOf } from '../../solver/digest.ts';
import type { Vertex } from '../../solver/vertex.ts';
import { collectKeys, type KeySource } from '../../src/cache/key-graph.ts';

/** A vertex whose op is known to the cache by the digest of its name. */
function vertex(name: string, ...inputs: readonly Vertex[]): Vertex {
  return {
    digest: digestOf(`vertex ${name}`),
    op: { kind: 'merge', inputs: [] },
    inputs: inputs.map((input) => ({ vertex: input, index: 0 })),
    options: { name },
  };
}

type Stored = Readonly<Record<string, { op: string; output?: number; inputs?: readonly (readonly CacheLink[])[] }>>;

function collect(head: Vertex, stored: Stored, keyIDs: readonly string[]): readonly string[] {
  const definition = createDefinition({ vertex: head, index: 0 });
  const store: KeySource = {
    keyOf: (keyID) => {
      const key = stored[keyID];
      return key === undefined ? undefined : { digest: digestOf(key.op), output: key.output ?? 0 };
    },
    linksTo: (keyID) => stored[keyID]?.inputs ?? [],
    records: (keyID) => [{ keyID, resultID: 'r', createdAtMs: 0 }],
  };
  const opDigests = new Map(definition.vertices.map(({ digest, options }) => [digest, [digestOf(options.name)]]));
  return collectKeys({ store, definition, opDigests, keyIDs }).map(
    ({ keyID, inputs, records }) =>
      `${keyID}(${inputs.map((links) => links.map((link) => link.keyID).join('|')).join(', ')})${records.length > 0 ? '!' : ''}`,
  );
}

describe('the keys of an export', () => {
  it('are those below the head, contents among them, with results of all but root keys', () => {
    const head = vertex('copy', vertex('base'), vertex('context'));
    const stored: Stored = {
      base: { op: 'base' },
      content: { op: 'bytes', output: -1 },
      copy: { op: 'copy', inputs: [[{ keyID: 'base' }], [{ keyID: 'content' }]] },
    };
    expect(collect(head, stored, ['copy'])).toEqual(['base()', 'content()', 'copy(base, content)!']);
  });

  it('leave out ways to a key that this build has not gone', () => {
    const head = vertex('run', vertex('copy'));
    const stored: Stored = {
      copy: { op: 'copy' },
      other: { op: 'another copy' },
      second: { op: 'copy', output: 1 },
      run: { op: 'run', inputs: [[{ keyID: 'other' }, { keyID: 'second' }, { keyID: 'copy' }]] },
    };
    expect(collect(head, stored, ['run'])).toEqual(['copy()', 'run(copy)!']);
  });

  it('make no circle, and lack no input', () => {
    const inner = vertex('copy', vertex('src'));
    const head = vertex('copy2', inner);
    // The same op on its own result gives the same bytes: both are one key.
    const stored: Stored = {
      content: { op: 'bytes', output: -1 },
      a: { op: 'copy', inputs: [[{ keyID: 'content' }]] },
      b: { op: 'copy2', inputs: [[{ keyID: 'a' }, { keyID: 'content' }]] },
      lost: { op: 'copy2', inputs: [[{ keyID: 'nowhere' }]] },
    };
    expect(collect(head, stored, ['b', 'lost'])).toEqual(['content()', 'a(content)!', 'b(a|content)!']);
    const circle: Stored = {
      x: { op: 'x', inputs: [[{ keyID: 'x' }, { keyID: 'content' }]] },
      content: { op: 'c', output: -1 },
    };
    const x: Vertex = vertex('x', { ...vertex('x'), inputs: [] });
    expect(collect({ ...x, digest: digestOf('outer x') }, circle, ['x'])).toEqual(['content()', 'x(content)!']);
    expect(rootKey(digestOf('x'), 0)).not.toBe(rootKey(digestOf('x'), 1));
  });
});
