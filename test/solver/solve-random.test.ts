import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Vertex } from '../../solver/vertex.ts';
import { type Counting, constant, local, sum } from './fake-runner.ts';
import { Builds } from './solve-fixture.ts';

const locals = ['p', 'q'];

/** Steps of a random graph: each adds up some of the vertices before it. */
const graph = fc.array(
  fc.record({
    inputs: fc.array(fc.tuple(fc.nat(), fc.constantFrom<Counting>('definition', 'content')), {
      minLength: 1,
      maxLength: 3,
    }),
    name: fc.constantFrom('a', 'b', 'c'),
    ignoreCache: fc.boolean(),
  }),
  { minLength: 1, maxLength: 7 },
);
type Graph = typeof graph extends fc.Arbitrary<infer Value> ? Value : never;

/** Volatile sources are read by content, as every frontend does. */
function vertexOf(steps: Graph, isCacheIgnored: boolean): Vertex {
  const vertices: Vertex[] = [constant(1), constant(2), constant(2, 'x'), ...locals.map(local)];
  for (const step of steps) {
    const inputs = step.inputs.map(([number, counting]) => {
      const vertex = vertices[number % vertices.length] ?? constant(1);
      return [vertex, vertex.options.name.startsWith('local') ? 'content' : counting] as const;
    });
    vertices.push(sum(step.name, inputs, { ignoreCache: isCacheIgnored && step.ignoreCache }));
  }
  return vertices.at(-1) ?? constant(1);
}

function numberOf(vertex: Vertex, values: ReadonlyMap<string, number>): number {
  const [kind, name = ''] = vertex.options.name.split(' ');
  if (kind === 'local') return values.get(name) ?? 0;
  if (kind === 'const') return Number.parseInt(name, 10);
  return vertex.inputs.reduce((total, input) => total + numberOf(input.vertex, values), 0);
}

describe('any graph', () => {
  it('gives the value of a run without cache, builds again without a run, and tells of every vertex once', async () => {
    const build = fc.record({ steps: graph, p: fc.nat(3), q: fc.nat(3), isCacheIgnored: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(build, { minLength: 1, maxLength: 5 }), async (inputs) => {
        const builds = new Builds();
        for (const { steps, p, q, isCacheIgnored } of inputs) {
          builds.runner.locals.set('p', p).set('q', q);
          const expected = `${numberOf(vertexOf(steps, false), builds.runner.locals)}`;
          expect(await builds.build(vertexOf(steps, isCacheIgnored))).toBe(expected);
          expectToldOnce(builds.told);
          expect(await builds.build(vertexOf(steps, false))).toBe(expected);
          expect(builds.runner.runs.filter((name) => !name.startsWith('local'))).toEqual([]);
          expectToldOnce(builds.told);
        }
      }),
      { numRuns: 150 },
    );
  });
});

/** Names are not unique among random steps, so only sources are counted; ends match starts. */
function expectToldOnce(told: readonly string[]): void {
  const starts = told.filter((line) => line.startsWith('started'));
  expect(told.filter((line) => line.startsWith('completed'))).toHaveLength(starts.length);
  const sources = told.filter((line) => /^(started|cached) (local|const)/.test(line));
  expect(new Set(sources.map((line) => line.replace(/^\w+ /, ''))).size).toBe(sources.length);
}
