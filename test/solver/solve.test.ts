import { beforeEach, describe, expect, it } from 'vitest';
import { createDefinition } from '../../solver/definition.ts';
import { digestOf } from '../../solver/digest.ts';
import { MemoryCacheStore } from '../../solver/memory-cache-store.ts';
import { solve } from '../../solver/solve.ts';
import type { Vertex } from '../../solver/vertex.ts';
import { constant, copySum, FakeRunner, local, sum } from './fake-runner.ts';
import { Builds } from './solve-fixture.ts';

let builds: Builds;
let runner: FakeRunner;

beforeEach(() => {
  builds = new Builds();
  runner = builds.runner;
});

describe('a rebuild', () => {
  const base = constant(1);
  const chain = sum('c', [sum('b', [sum('a', [base, constant(2)]), constant(3)])]);

  it('runs every step once the first time', async () => {
    expect(await builds.build(chain)).toBe('6');
    expect([...runner.runs].sort()).toEqual(['a', 'b', 'c', 'const 1', 'const 2', 'const 3']);
    expect(new Set(runner.cacheMaps).size).toBe(runner.cacheMaps.length);
    expect(builds.told.slice(-4)).toEqual(['started b', 'completed b', 'started c', 'completed c']);
  });

  it('runs nothing and tells each step of the chain as cached, once and inputs first', async () => {
    await builds.build(chain);
    expect(await builds.build(chain)).toBe('6');
    expect(runner.runs).toEqual([]);
    expect(runner.contentDigests).toEqual([]);
    expect(builds.told).toEqual([
      'cached const 1',
      'cached const 2',
      'cached a',
      'cached const 3',
      'cached b',
      'cached c',
    ]);
  });

  it('runs what lies above a change and takes the rest from records', async () => {
    await builds.build(chain);
    const changed = sum('c2', [sum('b2', [sum('a', [base, constant(2)]), constant(4)])]);
    expect(await builds.build(changed)).toBe('7');
    expect(runner.runs).toEqual(['const 4', 'b2', 'c2']);
    expect(builds.told.filter((line) => line.endsWith(' a'))).toEqual(['cached a']);
  });

  it('stamps events with the given clock', async () => {
    await builds.build(base);
    expect(builds.events).toEqual([
      { type: 'started', name: 'const 1', vertex: base.digest, timeMs: 1 },
      { type: 'completed', vertex: base.digest, timeMs: 3 },
    ]);
  });
});

describe('content', () => {
  it('of a local source decides, whatever its definition says', async () => {
    const head = sum('run', [sum('copy', [constant(1), [local('context'), 'content']])]);
    runner.locals.set('context', 5);
    await builds.build(head);

    expect(await builds.build(head)).toBe('6');
    expect(runner.runs).toEqual(['local context']);
    expect(builds.told).toEqual([
      'started local context',
      'completed local context',
      'cached const 1',
      'cached copy',
      'cached run',
    ]);

    runner.locals.set('context', 7);
    expect(await builds.build(head)).toBe('8');
    expect(runner.runs).toEqual(['local context', 'copy', 'run']);

    runner.locals.set('context', 5);
    expect(await builds.build(head)).toBe('6');
    expect(runner.runs).toEqual(['local context']);
  });

  it('that is the same cuts a rebuild off above a step that ran again', async () => {
    const head = (tag: string) => sum('run', [copySum('copy', sum(`stage${tag}`, [constant(1, tag)]))]);
    await builds.build(head('a'));
    expect(await builds.build(head('b'))).toBe('1');
    expect(runner.runs).toEqual(['const 1b', 'stageb']);
    expect(builds.told.slice(-2)).toEqual(['cached copy', 'cached run']);
  });

  it('that was found the same is not asked for again: the definition is linked as well', async () => {
    const head = (tag: string) => sum('run', [copySum('copy', sum(`stage${tag}`, [constant(1, tag)]))]);
    await builds.build(head('a'));
    await builds.build(head('b'));
    await builds.build(head('b'));
    expect(runner.runs).toEqual([]);
    expect(runner.contentDigests).toEqual([]);
  });

  it('is asked for once by each step that reads it', async () => {
    const context = local('context');
    await builds.build(sum('top', [copySum('x', context), copySum('y', context)]));
    expect(runner.runs.filter((name) => name === 'local context')).toHaveLength(1);
    expect(runner.contentDigests).toEqual(['local context', 'local context']);
  });

  it('is not asked for when the definition is known', async () => {
    const head = copySum('copy', constant(1));
    await builds.build(head);
    await builds.build(head);
    expect(runner.contentDigests).toEqual([]);
  });

  it('a step over a volatile source that does not count by content runs every time', async () => {
    const head = sum('odd', [local('context')]);
    await builds.build(head);
    await builds.build(head);
    expect(runner.runs).toEqual(['local context', 'odd']);
  });

  it('is kept beside the record, so that a miss can be explained', async () => {
    await builds.build(sum('copy', [constant(1), [local('context'), 'content']]));
    const [keyID] = builds.store.find({ digest: digestOf('/x 0'), output: -1, inputs: [] });
    const [copyKeyID = ''] = builds.store.find({
      digest: digestOf('copy,definition,content'),
      output: 0,
      inputs: [
        builds.store
          .find({ digest: digestOf('const://1'), output: 0, inputs: [] })
          .map((id) => ({ keyID: id, selector: digestOf('/x') })),
        [{ keyID: keyID ?? '' }],
      ],
    });
    expect(builds.store.parts(copyKeyID)).toEqual({
      vertexName: 'copy',
      opDigest: digestOf('copy,definition,content'),
      contents: [{ input: 1, digest: digestOf('/x 0') }],
    });
  });
});

describe('steps side by side', () => {
  it('start together when nothing orders them', async () => {
    const held = ['a', 'b', 'c'].map((name) => runner.hold(name));
    const result = builds.build(
      sum('top', [sum('a', [constant(1)]), sum('b', [constant(2)]), sum('c', [constant(3)])]),
    );
    await Promise.all(held.map(({ begun }) => begun));
    for (const { finish } of held) finish();
    expect(await result).toBe('6');
  });

  it('start together when they are copied from one after the other', async () => {
    const held = ['a', 'b', 'c'].map((name) => runner.hold(name));
    const stages = ['a', 'b', 'c'].map((name, index) => sum(name, [constant(index)]));
    const head = stages.reduce<Vertex>(
      (base, stage) => sum(`copy ${stage.options.name}`, [base, [stage, 'content']]),
      constant(9),
    );
    const result = builds.build(head);
    await Promise.all(held.map(({ begun }) => begun));
    for (const { finish } of held) finish();
    expect(await result).toBe('12');
  });

  it('run once when they are equal', async () => {
    const twin = () => sum('twin', [constant(2)]);
    expect(await builds.build(sum('top', [sum('left', [twin()]), sum('right', [twin()])]))).toBe('4');
    expect(runner.runs.filter((name) => name === 'twin')).toHaveLength(1);
  });
});

describe('ignoring the cache', () => {
  const step = (options = {}) => sum('clock', [constant(1)], options);
  const above = (clock: Vertex) => sum('above', [clock]);

  it('runs the step and those above it that count it by definition, and saves what they give', async () => {
    await builds.build(above(step()));
    runner.drifts.set('clock', 10);
    expect(await builds.build(above(step({ ignoreCache: true })))).toBe('11');
    expect(runner.runs).toEqual(['clock', 'above']);
    expect(builds.told).toContain('cached const 1');
    expect(await builds.build(above(step()))).toBe('11');
    expect(runner.runs).toEqual([]);
  });

  it.each([
    ['by definition', (below: Vertex) => sum('top', [below])],
    ['by content', (below: Vertex) => copySum('top', below)],
  ])('runs what stands higher, too, which counts it %s', async (_, top) => {
    const head = (options = {}) => sum('head', [top(above(step(options)))]);
    await builds.build(head());
    runner.drifts.set('clock', 10);
    expect(await builds.build(head({ ignoreCache: true }))).toBe('11');
    expect(runner.runs).toEqual(['clock', 'above', 'top', 'head']);
    expect(await builds.build(head())).toBe('11');
    expect(runner.runs).toEqual([]);
  });

  it('takes a step above from its record when the content is the same', async () => {
    const head = (options = {}) => copySum('copy', step(options));
    await builds.build(head());
    await builds.build(head({ ignoreCache: true }));
    expect(runner.runs).toEqual(['clock']);
    runner.drifts.set('clock', 10);
    await builds.build(head({ ignoreCache: true }));
    expect(runner.runs).toEqual(['clock', 'copy']);
  });

  it('does not make a content lead to what was made from another', async () => {
    const copy = (options = {}) => sum('run', [copySum('copy', step(options))]);
    await builds.build(copy());
    runner.drifts.set('clock', 10);
    expect(await builds.build(copy({ ignoreCache: true }))).toBe('11');
    expect(await builds.build(copy())).toBe('11');
    expect(runner.runs).toEqual([]);

    runner.drifts.set('clock', 0);
    expect(await builds.build(copy({ ignoreCache: true }))).toBe('1');
    expect(runner.runs).toEqual(['clock']);
    expect(await builds.build(copy())).toBe('1');
    expect(runner.runs).toEqual([]);
    expect(await builds.build(sum('run', [copySum('copy', constant(1, 'new'))]))).toBe('1');
    expect(runner.runs).toEqual(['const 1new']);
  });

  it('of one of two equal vertices counts for both', async () => {
    await builds.build(step());
    await builds.build(sum('both', [above(step()), above(step({ ignoreCache: true }))]));
    expect(runner.runs).toContain('clock');
  });
});

describe('lost results', () => {
  const middle = sum('middle', [constant(1), constant(2)]);
  const head = sum('head', [middle, constant(10)]);

  it('are run again, with their inputs, when they are needed', async () => {
    await builds.build(head);
    runner.lost.add('13');
    expect(await builds.build(head)).toBe('13');
    expect(runner.runs).toEqual(['head']);
    expect(builds.told).toEqual([
      'cached const 1',
      'cached const 2',
      'cached middle',
      'cached const 10',
      'started head',
      'completed head',
    ]);
  });

  it('in the middle of a chain do not keep the chain from being found', async () => {
    await builds.build(head);
    for (const keyID of keyIDsOf(middle)) builds.store.dropResult(keyID, '3');
    expect(await builds.build(head)).toBe('13');
    expect(runner.runs).toEqual([]);
    expect([...builds.told].sort()).toEqual(
      ['cached const 1', 'cached const 10', 'cached const 2', 'cached head', 'cached middle'].sort(),
    );
  });

  it('in the middle of a chain are run when a step above is new', async () => {
    await builds.build(head);
    runner.lost.add('3');
    expect(await builds.build(sum('new', [middle]))).toBe('3');
    expect(runner.runs).toEqual(['middle', 'new']);
    runner.lost.clear();
    await builds.build(head);
    expect(runner.runs).toEqual([]);
  });

  it('that are found to be lost when a step is about to read them are made anew before it, down to what is there', async () => {
    await builds.build(head);
    const above = sum('above', [middle]);
    await builds.build(above);
    runner.fading.add('3').add('1');
    expect(await builds.build(sum('new', [above]))).toBe('3');
    expect(runner.runs).toEqual(['const 1', 'middle', 'above', 'new']);
    expect(builds.told.filter((line) => line.endsWith(' above'))).toEqual([
      'cached above',
      'started above',
      'completed above',
    ]);
    for (const ids of [runner.fading, runner.lost]) ids.clear();
    await builds.build(sum('other', [above]));
    expect(runner.runs).toEqual(['other']);
  });

  it('that are lost to several steps at a time are made anew once', async () => {
    await builds.build(middle);
    runner.fading.add('3');
    const readers = ['a', 'b', 'c'].map((name) => sum(name, [middle]));
    expect(await builds.build(sum('all', readers))).toBe('9');
    expect(runner.runs.toSorted()).toEqual(['a', 'all', 'b', 'c', 'middle']);
  });

  it('that are lost when their content is asked for are made anew', async () => {
    await builds.build(middle);
    runner.fading.add('3');
    runner.drifts.set('middle', 1);
    expect(await builds.build(copySum('copy', middle))).toBe('4');
    expect(runner.runs).toEqual(['middle', 'copy']);
  });

  it('that may come back keep their record', async () => {
    await builds.build(head);
    runner.lost.add('13');
    runner.away.add('13');
    runner.drifts.set('head', 1);
    expect(await builds.build(head)).toBe('14');
    runner.lost.clear();
    runner.lost.add('14');
    expect(await builds.build(head)).toBe('13');
    expect(runner.runs).toEqual([]);
  });

  it('do not include the empty tree, which cannot be lost', async () => {
    const vertex = constant(0);
    const [head, store] = [{ vertex, index: 0 }, new MemoryCacheStore(() => 0)];
    class EmptyRunner extends FakeRunner {
      override async run(): Promise<readonly { id: undefined }[]> {
        this.runs.push('empty');
        return [{ id: undefined }];
      }
      override async isAvailable(): Promise<boolean> {
        throw new Error('the empty tree is always there');
      }
    }
    const empty = new EmptyRunner();
    const options = { runner: empty, cacheStore: store, signal: neverAborted(), emit: () => {}, now: () => 0 };
    expect(await solve(createDefinition(head), options)).toEqual({ id: undefined });
    expect(await solve(createDefinition(head), options)).toEqual({ id: undefined });
    expect(empty.runs).toEqual(['empty']);
  });

  function keyIDsOf(vertex: Vertex): readonly string[] {
    const inputs = vertex.inputs.map((input) =>
      builds.store
        .find({ digest: digestOf(`const://${input.vertex.options.name.slice(6)}`), output: 0, inputs: [] })
        .map(withSelector),
    );
    return builds.store.find({ digest: digestOf('middle,definition,definition'), output: 0, inputs });
  }
});

describe('the graph', () => {
  it('without a head has no result', async () => {
    const options = { runner, cacheStore: builds.store, signal: neverAborted(), emit: () => {}, now: () => 0 };
    expect(await solve(createDefinition(undefined), options)).toBeUndefined();
  });

  it('gives the output of the head that is asked for', async () => {
    const vertex = constant(1);
    class TwoOutputs extends FakeRunner {
      override async run(): Promise<readonly { id: string }[]> {
        this.runs.push('two');
        return [{ id: 'first' }, { id: 'second' }];
      }
    }
    const two = new TwoOutputs();
    const options = { runner: two, cacheStore: builds.store, signal: neverAborted(), emit: () => {}, now: () => 0 };
    const at = (index: number) => solve(createDefinition({ vertex, index }), options);
    expect(await at(1)).toEqual({ id: 'second' });
    expect(await at(0)).toEqual({ id: 'first' });
    expect(two.runs).toEqual(['two']);
    await expect(at(2)).rejects.toThrow('internal error: const 1 has no output 2');
  });

  it('takes a source from any digest that names the same result', async () => {
    class ImageRunner extends FakeRunner {
      override async cacheMap(vertex: Vertex) {
        const map = await super.cacheMap(vertex);
        return vertex.op.kind === 'source' ? { ...map, alternatives: [digestOf('layers')] } : map;
      }
    }
    const images = new ImageRunner();
    const options = { runner: images, cacheStore: builds.store, signal: neverAborted(), emit: () => {}, now: () => 0 };
    const build = (tag: string) =>
      solve(createDefinition({ vertex: sum('run', [constant(1, tag)]), index: 0 }), options);
    await build('a');
    images.forget();
    expect(await build('b')).toEqual({ id: '1' });
    expect(images.runs).toEqual([]);
  });
});

function withSelector(keyID: string): { keyID: string; selector: ReturnType<typeof digestOf> } {
  return { keyID, selector: digestOf('/x') };
}

function neverAborted(): AbortSignal {
  return new AbortController().signal;
}
