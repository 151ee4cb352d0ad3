import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import type { StepRecord } from '../../src/store/builds.ts';
import type { Store } from '../../src/store/open-store.ts';
import { storeRig } from './store-rig.ts';

const step = (number: number, more: Partial<StepRecord> = {}): StepRecord => ({
  number,
  vertex: digestOf(`v${number}`),
  name: `[${number}/3] RUN x`,
  startedAtMs: number,
  status: 'completed',
  ...more,
});

describe('Builds', () => {
  const rig = storeRig();
  let clockMs = 1_700_000_000_000;
  const open = (root?: string): Store => rig.open(root, { now: () => ++clockMs });

  const failed = (number: number): StepRecord =>
    step(number, { status: 'failed', endedAtMs: 1_700_000_000_000 + number });

  it('records a build and its steps', () => {
    const { builds } = open();
    const id = builds.start({ dockerfile: 'Dockerfile', target: 'app' });
    expect(builds.get(id)).toMatchObject({ status: 'running', endedAtMs: undefined });
    const whole = step(2, {
      range: { file: 'Dockerfile', start: { line: 1, column: 1 }, end: { line: 2, column: 1 } },
      endedAtMs: 7,
      logPath: '/l',
      runSpec: '{}',
      parentSnapshot: '4',
      message: 'm',
    });
    builds.recordSteps(id, [whole, step(1, { status: 'running' })]);
    builds.recordStep(id, step(1, { status: 'cached' }));
    builds.finish(id, 'completed', digestOf('config'));
    expect(builds.steps(id)).toEqual([step(1, { status: 'cached' }), whole]);
    expect(builds.list()).toEqual([
      {
        id,
        dockerfile: 'Dockerfile',
        target: 'app',
        startedAtMs: expect.any(Number),
        endedAtMs: expect.any(Number),
        status: 'completed',
        imageDigest: digestOf('config'),
      },
    ]);
    expect(builds.get('none')).toBeUndefined();
  });

  it('gives builds of one millisecond different ids, each with a directory', () => {
    const { builds, root } = rig.open(undefined, { now: () => 1_700_000_000_000 });
    const ids = [1, 2, 3].map(() => builds.start({ dockerfile: 'f' }));
    expect(new Set(ids).size).toBe(3);
    expect(builds.directory(ids[0] ?? '')).toBe(join(root, 'runs', ids[0] ?? ''));
    expect(existsSync(builds.directory(ids[0] ?? ''))).toBe(true);
  });

  it('keeps the states of the last three failures', () => {
    const store = open();
    const states = [1, 2, 3, 4].map((number) => {
      const build = store.builds.start({ dockerfile: 'Dockerfile' });
      const active = store.snapshotter.prepare(undefined);
      writeFileSync(join(active.upperDir, 'f'), '');
      store.builds.recordFailure(build, { ...failed(number), activeKey: active.key });
      store.builds.finish(build, 'failed');
      return { build, active };
    });
    expect(store.builds.failures().map(({ number }) => number)).toEqual([4, 3, 2]);
    expect(store.builds.lastFailure()?.activeKey).toBe(states[3]?.active.key);
    expect(store.builds.lastFailure(states[1]?.build)?.number).toBe(2);
    expect(store.builds.lastFailure(states[0]?.build)).toBeUndefined();
    expect(store.builds.steps(states[0]?.build ?? '')).toEqual([failed(1)]);
    store.close();
    expect(states.map(({ active }) => existsSync(active.upperDir))).toEqual([false, true, true, true]);
    expect(open(store.root).snapshotter.reopen(states[3]?.active.key ?? '')).toEqual(states[3]?.active);
  });

  it('forgets an ended build with what its failed step left, and no running one', () => {
    const store = open();
    const build = store.builds.start({ dockerfile: 'Dockerfile' });
    const active = store.snapshotter.prepare(undefined);
    store.builds.directory(build);
    store.builds.recordFailure(build, { ...failed(1), activeKey: active.key });
    expect(store.builds.remove(build)).toBe(false);
    expect(store.builds.lastFailure()?.build).toBe(build);
    store.builds.finish(build, 'failed');
    expect(store.builds.remove(build)).toBe(true);
    expect(store.builds.get(build)).toBeUndefined();
    expect(store.builds.failures()).toEqual([]);
    expect(existsSync(join(store.root, 'runs', build))).toBe(false);
    store.sweep(10_000);
    expect(existsSync(active.upperDir)).toBe(false);
    expect(store.builds.remove(build)).toBe(false);
  });

  it('forgets failures of more than seven days ago when another comes', () => {
    const store = open();
    const fail = (number: number): void => {
      const build = store.builds.start({ dockerfile: 'Dockerfile' });
      const { key } = store.snapshotter.prepare(undefined);
      store.builds.recordFailure(build, { ...step(number, { endedAtMs: clockMs, status: 'failed' }), activeKey: key });
    };
    fail(1);
    clockMs += 7 * 86_400_000;
    fail(2);
    expect(store.builds.failures().map(({ number }) => number)).toEqual([2]);
  });
});
