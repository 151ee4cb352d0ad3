// The gc after a build in a store with more records than it may look at as a whole.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import { collectAfterBuild } from '../../src/gc/after-build.ts';
import { totalBytes } from '../../src/gc/usage.ts';
import type { Store } from '../../src/store/open-store.ts';
import { storeRig } from '../store/store-rig.ts';

const BYTES = 100_000;

describe('the gc of a store with many records', () => {
  const rig = storeRig();
  let nowMs = 1_700_000_000_000;

  const commit = (store: Store, name: string, parent: string | undefined): string => {
    const active = store.snapshotter.prepare(parent);
    writeFileSync(join(active.upperDir, name), Buffer.alloc(BYTES, 1));
    return store.snapshotter.commit(active);
  };
  const keyOf = (name: string) => ({ digest: digestOf(name), output: 0, inputs: [] });
  /** A build: two steps on a layer that no record leads to, used at one time, and an image of them. */
  const build = (store: Store, name: string, tags: readonly string[] = []): readonly string[] => {
    nowMs += 60_000;
    const layer = commit(store, `${name}-base`, undefined);
    const steps = [layer];
    for (const step of ['first', 'second']) {
      steps.push(commit(store, step, steps.at(-1)));
      const parts = { vertexName: step, opDigest: digestOf(step), contents: [] };
      store.cacheStore.saveResult(store.cacheStore.save(keyOf(`${name} ${step}`)), steps.at(-1), parts);
    }
    const configDigest = store.content.put(Buffer.from(`config of ${name}`));
    const layers = steps.map((snapshot) => ({ diffID: digestOf(snapshot), snapshot }));
    const platform = { os: 'linux', architecture: 'amd64' };
    const references = tags.map((reference) => ({ reference }));
    store.images.save({ configDigest, layers, platform, createdAtMs: nowMs, isBuilt: true }, references);
    return steps;
  };
  const open = () => rig.open(undefined, { now: () => nowMs });
  const isHere = (store: Store, steps: readonly string[]) => steps.map((name) => store.snapshotter.exists(name));
  const collect = (store: Store, limitBytes: number, now = () => 0) =>
    collectAfterBuild({ store, limitBytes, nowMs, budgetMs: 80, now, mostRecordsSeen: 4 });
  const NONE = [false, false, false];
  const ALL = [true, true, true];

  it('takes the longest unused results with what only they need, and never what has a name', () => {
    const store = open();
    const named = build(store, 'named', ['docker.io/library/app:1']);
    const [used, old, older] = ['used', 'old', 'older'].map((name) => build(store, name)) as [
      string[],
      string[],
      string[],
    ];
    const last = build(store, 'last');
    nowMs += 60_000;
    // A cached build looks at all its keys.
    for (const step of ['first', 'second'])
      for (const keyID of store.cacheStore.find(keyOf(`used ${step}`))) store.cacheStore.records(keyID);
    store.cacheStore.flushUse();
    collect(store, totalBytes(store.root, store.db) - 5 * BYTES);
    expect([named, used, old, older, last].map((steps) => isHere(store, steps))).toEqual([ALL, ALL, NONE, NONE, ALL]);
    expect(store.images.list()).toHaveLength(3);
    collect(store, 0);
    expect([named, used, last].map((steps) => isHere(store, steps))).toEqual([ALL, NONE, NONE]);
  });

  it('takes no more than it must, the topmost step of a build first', () => {
    const store = open();
    const [first, second, third] = ['1', '2', '3'].map((name) => build(store, name)) as [string[], string[], string[]];
    collect(store, totalBytes(store.root, store.db) - BYTES / 2);
    expect([first, second, third].map((steps) => isHere(store, steps))).toEqual([[true, true, false], ALL, ALL]);
  });

  it('leaves to running builds what they may have found', () => {
    const store = open();
    const [first] = ['1', '2', '3'].map((name) => build(store, name)) as [string[]];
    const running = store.builds.start({ dockerfile: '/x/Dockerfile', context: '/x' });
    collect(store, totalBytes(store.root, store.db) - 2 * BYTES);
    expect(isHere(store, first)).toEqual(ALL);
    expect(store.cacheStore.find(keyOf('1 second')).flatMap((keyID) => store.cacheStore.records(keyID))).toEqual([]);
    store.builds.finish(running, 'completed');
    collect(store, Number.POSITIVE_INFINITY);
    expect(isHere(store, first)).toEqual(NONE);
  });

  it('stops when its time is up, and leaves the logs to a round that has seen all', () => {
    const store = open();
    for (const name of ['1', '2', '3', '4', '5', '6']) build(store, name);
    const id = store.builds.start({ dockerfile: '/x/Dockerfile', context: '/x' });
    const log = join(store.builds.directory(id), '1.log');
    mkdirSync(store.builds.directory(id), { recursive: true });
    writeFileSync(log, Buffer.alloc(BYTES, 1));
    store.builds.finish(id, 'completed', undefined, []);
    let ms = 0;
    collect(store, 0, () => {
      ms += 5;
      return ms;
    });
    const left = store.db.all('SELECT id FROM cache_records').length;
    expect(left).toBeGreaterThan(4);
    expect(left).toBeLessThan(12);
    expect(existsSync(log)).toBe(true);
    collect(store, 0);
    expect(store.db.all('SELECT id FROM cache_records')).toEqual([]);
    expect(existsSync(log)).toBe(false);
  });
});
