import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cpuTimeMs } from '../cpu-time.ts';
import { digestOf } from '../../solver/digest.ts';
import { collectAfterBuild, storageLimit } from '../../src/gc/after-build.ts';
import { type PruneOptions, prune } from '../../src/gc/prune.ts';
import { measureStore, totalBytes } from '../../src/gc/usage.ts';
import { tryLockFile } from '../../src/ops/file-lock.ts';
import type { Store } from '../../src/store/open-store.ts';
import { storeRig } from '../store/store-rig.ts';

const MB = 1_000_000;
const DAY_MS = 86_400_000;

describe('pruning', () => {
  const rig = storeRig();
  let nowMs = 1_700_000_000_000;
  const open = (root?: string): Store => rig.open(root, { now: () => nowMs });

  /** A committed snapshot with a file of that size, and a cache record of it. */
  const step = (store: Store, name: string, parent?: string, bytes = MB): string => {
    const active = store.snapshotter.prepare(parent);
    writeFileSync(join(active.upperDir, name), Buffer.alloc(bytes, 1));
    const snapshot = store.snapshotter.commit(active);
    const digest = digestOf(name);
    const key = store.cacheStore.save({ digest, output: 0, inputs: [] });
    store.cacheStore.saveResult(key, snapshot, { vertexName: name, opDigest: digest, contents: [] });
    return snapshot;
  };
  const run = (store: Store, options: Partial<PruneOptions> = {}) =>
    prune({ store, nowMs, signal: new AbortController().signal, ...options });
  const image = (store: Store, snapshot: string, tags: readonly string[], isBuilt = true) => {
    const config = store.content.put(Buffer.from(`config of ${snapshot}`));
    const layers = store.snapshotter.chain(snapshot).map((name) => ({ diffID: digestOf(name), snapshot: name }));
    const platform = { os: 'linux', architecture: 'amd64' };
    store.images.save(
      { configDigest: config, layers, platform, createdAtMs: nowMs, isBuilt },
      tags.map((reference) => ({ reference })),
    );
    return config;
  };
  const snapshots = (store: Store): number => readdirSync(join(store.root, 'snapshots')).length;

  it('counts what du counts, by kind', () => {
    const store = open();
    const base = step(store, 'a');
    const copy = store.snapshotter.prepare(base);
    linkSync(join(store.root, 'snapshots', base, 'fs/a'), join(copy.upperDir, 'linked'));
    symlinkSync('nowhere', join(copy.upperDir, 'link'));
    store.snapshotter.commit(copy);
    store.content.put(Buffer.alloc(3 * MB));
    mkdirSync(join(store.root, 'mounts/m/fs'), { recursive: true });
    writeFileSync(join(store.root, 'mounts/m/fs/f'), Buffer.alloc(2 * MB));
    const kinds = measureStore(store.root, store.db, nowMs);
    const total = kinds.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const du = 1024 * Number.parseInt(execFileSync('du', ['-sk', store.root], { encoding: 'utf8' }), 10);
    expect(Math.abs(total - du) / du).toBeLessThan(0.01);
    expect(kinds.find(({ kind }) => kind === 'blobs')?.sizeBytes).toBeGreaterThan(3 * MB);
    expect(kinds.find(({ kind }) => kind === 'cache mounts')?.sizeBytes).toBeGreaterThan(2 * MB);
  });

  it('removes what no named image needs, and leaves what one is made of', async () => {
    const store = open();
    const base = step(store, 'base');
    const kept = step(store, 'kept', base);
    const gone = step(store, 'gone', base);
    const named = image(store, kept, ['docker.io/library/app:1']);
    const nameless = image(store, gone, []);
    const { freedBytes, waiting } = await run(store);
    expect(waiting).toBe(0);
    expect(freedBytes).toBeGreaterThan(MB / 2);
    expect([base, kept, gone].map((name) => store.snapshotter.exists(name))).toEqual([true, true, false]);
    expect(snapshots(store)).toBe(2);
    expect([named, nameless].map((digest) => store.content.has(digest))).toEqual([true, false]);
    expect(store.images.list().map(({ configDigest }) => configDigest)).toEqual([named]);
    // The cache of what is kept costs nothing.
    expect(store.cacheStore.find({ digest: digestOf('kept'), output: 0, inputs: [] })).toHaveLength(1);
    expect(store.cacheStore.find({ digest: digestOf('gone'), output: 0, inputs: [] })).toEqual([]);
  });

  it('keeps pulled images unless all are to go', async () => {
    const store = open();
    const base = step(store, 'base');
    image(store, base, ['docker.io/library/alpine:3'], false);
    await run(store);
    expect(store.snapshotter.exists(base)).toBe(true);
    await run(store, { all: true });
    expect(store.snapshotter.exists(base)).toBe(false);
    expect(store.images.list()).toEqual([]);
  });

  it('takes nothing that a running build may have found, and takes it when the build has ended', async () => {
    const store = open();
    const found = step(store, 'found');
    const blob = store.content.put(Buffer.from('a blob'));
    const other = open(store.root);
    const build = other.builds.start({ dockerfile: 'Dockerfile' });
    expect((await run(store, { all: true })).waiting).toBe(1);
    expect(other.snapshotter.exists(found)).toBe(true);
    expect(other.content.has(blob)).toBe(true);
    // It goes on with what it has found.
    const on = other.snapshotter.commit(other.snapshotter.prepare(found));
    // A build that starts now cannot find it.
    const later = other.builds.start({ dockerfile: 'Dockerfile' });
    expect(
      other.cacheStore
        .find({ digest: digestOf('found'), output: 0, inputs: [] })
        .flatMap((key) => other.cacheStore.records(key)),
    ).toEqual([]);
    other.builds.finish(build, 'completed');
    other.db.run('DELETE FROM snapshots WHERE id = ?', Number.parseInt(on, 36));
    other.db.run('UPDATE directories SET is_garbage = 1, base = NULL WHERE id = ?', Number.parseInt(on, 36));
    await run(store);
    expect(store.snapshotter.exists(found)).toBe(false);
    other.builds.finish(later, 'completed');
  });

  it('saves from going what is found again by name', async () => {
    const store = open();
    const active = store.snapshotter.prepare(undefined);
    const layer = store.snapshotter.commit(active, { chainID: 'sha256:layer' });
    const build = store.builds.start({ dockerfile: 'Dockerfile' });
    await run(store);
    const later = store.builds.start({ dockerfile: 'Dockerfile' });
    expect(store.snapshotter.findByChainID('sha256:layer')).toBe(layer);
    store.builds.finish(build, 'completed');
    await run(store);
    expect(store.snapshotter.exists(layer)).toBe(true);
    store.builds.finish(later, 'completed');
    await run(store);
    expect(store.snapshotter.exists(layer)).toBe(false);
  });

  it('keeps the storage asked for, and in it what was used last', async () => {
    const store = open();
    const names = Array.from({ length: 20 }, (_, n) => {
      nowMs += 60_000;
      return step(store, `s${n}`);
    });
    const keepBytes = 10 * MB;
    const { leftBytes } = await run(store, { keepBytes });
    expect(leftBytes).toBeLessThanOrEqual(keepBytes);
    expect(leftBytes).toBeGreaterThan(keepBytes - 2 * MB);
    const exist = names.map((name) => store.snapshotter.exists(name));
    expect(exist).toEqual(exist.toSorted());
  });

  it('of things unused for equally long gives up the large one first', async () => {
    const store = open();
    const small = Array.from({ length: 8 }, (_, n) => step(store, `small${n}`, undefined, MB / 4));
    const large = step(store, 'large', undefined, 6 * MB);
    nowMs += DAY_MS;
    await run(store, { keepBytes: 4 * MB });
    expect(store.snapshotter.exists(large)).toBe(false);
    expect(small.every((name) => store.snapshotter.exists(name))).toBe(true);
  });

  it('takes only what was unused for long with until, and only the types asked for', async () => {
    const store = open();
    const old = step(store, 'old');
    mkdirSync(join(store.root, 'mounts/m/fs'), { recursive: true });
    nowMs += 2 * DAY_MS;
    const young = step(store, 'young');
    await run(store, { all: true, types: ['snapshot'], unusedSinceMs: nowMs - DAY_MS });
    expect([old, young].map((name) => store.snapshotter.exists(name))).toEqual([false, true]);
    await run(store, { all: true, types: ['mount'] });
    expect(existsSync(join(store.root, 'mounts/m'))).toBe(false);
    expect(store.snapshotter.exists(young)).toBe(true);
  });

  it('asks no whole table for each snapshot that goes', () => {
    const plans = open().db.all('EXPLAIN QUERY PLAN DELETE FROM snapshots WHERE id = 1');
    const scans = plans.map(({ detail }) => String(detail)).filter((detail) => detail.startsWith('SCAN'));
    // Those that are being written, of which there are few.
    expect(scans).toEqual(['SCAN actives']);
  });

  it('keeps failed steps that can be entered', async () => {
    const store = open();
    const parent = step(store, 'parent');
    const active = store.snapshotter.prepare(parent);
    const build = store.builds.start({ dockerfile: 'Dockerfile' });
    store.builds.recordFailure(build, {
      number: 1,
      vertex: digestOf('v'),
      name: 'RUN false',
      startedAtMs: nowMs,
      status: 'failed',
      activeKey: active.key,
      parentSnapshot: parent,
    });
    store.builds.finish(build, 'failed');
    await run(store, { all: true });
    expect(store.snapshotter.exists(parent)).toBe(true);
    expect(store.builds.lastFailure()?.activeKey).toBe(active.key);
    expect(existsSync(active.upperDir)).toBe(true);
  });

  it('forgets stat caches of contexts that are gone, reuse pointers and logs of no build', async () => {
    const store = open();
    store.db.run(
      `INSERT INTO stat_cache VALUES ('/nowhere/at/all', 0, x'00', ?), (?, 0, x'00', 0)`,
      nowMs - 2 * DAY_MS,
      store.root,
    );
    mkdirSync(join(store.root, 'reuse'));
    writeFileSync(join(store.root, 'reuse/p'), '/nowhere/at/all');
    mkdirSync(join(store.root, 'runs/gone'));
    nowMs = Date.now() + DAY_MS;
    await run(store);
    expect(store.db.all('SELECT root FROM stat_cache')).toEqual([{ root: store.root }]);
    expect(readdirSync(join(store.root, 'reuse'))).toEqual([]);
    expect(readdirSync(join(store.root, 'runs'))).toEqual([]);
  });

  /** A build that has written so much. */
  const logged = (store: Store, status: 'completed' | 'running' = 'completed', bytes = 3 * MB): string => {
    nowMs += 60_000;
    const build = store.builds.start({ dockerfile: 'Dockerfile' });
    writeFileSync(join(store.builds.directory(build), '1.log'), Buffer.alloc(bytes, 1));
    if (status !== 'running') store.builds.finish(build, status);
    return build;
  };
  /** A build with a step that can be entered; its state takes as much as its log. */
  const failed = (store: Store, bytes = MB): string => {
    const build = logged(store, 'running', bytes);
    const active = store.snapshotter.prepare(undefined);
    writeFileSync(join(active.upperDir, 'state'), Buffer.alloc(bytes, 1));
    const fact = { number: 1, vertex: digestOf('v'), name: 'RUN false', startedAtMs: nowMs, status: 'failed' } as const;
    store.builds.recordFailure(build, { ...fact, activeKey: active.key });
    store.builds.finish(build, 'failed');
    return build;
  };
  const logs = (store: Store): readonly string[] => readdirSync(join(store.root, 'runs')).sort();
  const onDisk = (store: Store): number =>
    1024 * Number.parseInt(execFileSync('du', ['-sk', store.root], { encoding: 'utf8' }), 10);
  const limit = (store: Store, limitBytes: number): void => {
    collectAfterBuild({ store, limitBytes, nowMs, budgetMs: 10_000, now: () => performance.now() });
    store.sweep(10_000);
  };

  it('counts all that is in the store against the limit, its database and what is put by too', () => {
    const store = open();
    for (let n = 0; n < 20; n += 1) {
      nowMs += 60_000;
      step(store, `s${n}`);
      limit(store, 8 * MB);
      expect(onDisk(store)).toBeLessThan(8.16 * MB);
    }
    expect(onDisk(store)).toBeGreaterThan(6.5 * MB);
  });

  it('takes the oldest logs when the rest is not enough, never those of builds that run or can be entered', () => {
    const store = open();
    const kept = failed(store);
    const running = logged(open(store.root), 'running', MB);
    const ended = Array.from({ length: 4 }, () => logged(store));
    const cached = step(store, 'cached');
    limit(store, 12 * MB);
    expect(store.snapshotter.exists(cached)).toBe(true);
    expect(logs(store)).toEqual([kept, running, ...ended.slice(2)].sort());
    expect(onDisk(store)).toBeLessThan(12 * MB);
    expect(store.builds.list().map(({ id }) => id)).toHaveLength(6);
    limit(store, 1);
    expect(logs(store)).toEqual([kept, running].sort());
    expect(store.builds.lastFailure()?.build).toBe(kept);
  });

  it('gives up what can be made again before a log', () => {
    const store = open();
    const ended = [logged(store), logged(store)];
    for (let n = 0; n < 4; n += 1) step(store, `s${n}`);
    limit(store, 9 * MB);
    expect(logs(store)).toEqual(ended);
    expect(onDisk(store)).toBeLessThan(9 * MB);
  });

  it('takes no log to make up for cache mounts that are beyond the limit', () => {
    const store = open();
    mkdirSync(join(store.root, 'mounts/m/fs'), { recursive: true });
    writeFileSync(join(store.root, 'mounts/m/fs/f'), Buffer.alloc(15 * MB));
    const ended = Array.from({ length: 4 }, () => logged(store));
    limit(store, 14 * MB);
    expect(logs(store)).toEqual(ended);
    limit(store, 12 * MB);
    expect(logs(store)).toEqual(ended.slice(1));
  });

  it('takes cache mounts first that nothing has used for two days, never those in use', () => {
    const store = open();
    const cached = step(store, 'cached');
    const mount = (name: string, days: number): void => {
      mkdirSync(join(store.root, 'mounts', name, 'fs'), { recursive: true });
      writeFileSync(join(store.root, 'mounts', name, 'id'), `/${name}`);
      writeFileSync(join(store.root, 'mounts', name, 'fs/f'), Buffer.alloc(MB));
      const then = new Date(nowMs - days * DAY_MS);
      utimesSync(join(store.root, 'mounts', name), then, then);
    };
    for (const [name, days] of [
      ['young', 1.9],
      ['old', 3],
      ['older', 4],
      ['oldest', 5],
    ] as const)
      mount(name, days);
    const lock = tryLockFile(join(store.root, 'locks/mount-oldest'), 'shared');
    const round = (limitBytes: number): readonly unknown[] => {
      for (const name of readdirSync(join(store.root, 'locks')))
        if (name.startsWith('mount-')) utimesSync(join(store.root, 'locks', name), 0, 0);
      const options = { store, limitBytes, nowMs, budgetMs: 10_000, now: () => performance.now() };
      return collectAfterBuild(options).map(({ id }) => id);
    };
    expect(round(totalBytes(store.root, store.db))).toEqual([]);
    expect(round(totalBytes(store.root, store.db) - MB / 2)).toEqual(['older']);
    expect(store.snapshotter.exists(cached)).toBe(true);
    expect(round(1)).toEqual(['old']);
    expect(store.snapshotter.exists(cached)).toBe(false);
    lock?.release();
    expect(round(1)).toEqual(['oldest']);
    expect(readdirSync(join(store.root, 'mounts'))).toEqual(['young']);
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
  });

  it('counts logs to the storage that is kept, and takes the oldest', async () => {
    const store = open();
    const kept = failed(store);
    const ended = Array.from({ length: 4 }, () => logged(store));
    const { leftBytes } = await run(store, { keepBytes: 12 * MB });
    expect(leftBytes).toBeLessThan(12 * MB);
    expect(logs(store)).toEqual([kept, ...ended.slice(2)]);
  });

  it('takes logs when all is to go, and says before what can', async () => {
    const store = open();
    const kept = failed(store);
    const ended = [logged(store), logged(store)];
    step(store, 'a');
    store.content.put(Buffer.alloc(2 * MB));
    await run(store, { types: ['snapshot'], unusedSinceMs: 0 });
    store.content.put(Buffer.alloc(2 * MB, 1));
    const named = image(store, step(store, 'b'), ['docker.io/library/app:1']);
    const kinds = measureStore(store.root, store.db, nowMs);
    const reclaimable = (kind: string) => kinds.find((one) => one.kind === kind)?.reclaimableBytes ?? 0;
    expect(reclaimable('logs')).toBeGreaterThan(6 * MB);
    expect(reclaimable('logs')).toBeLessThan(6.1 * MB);
    expect(reclaimable('blobs')).toBeGreaterThan(2 * MB);
    expect(reclaimable('blobs')).toBeLessThan(2.1 * MB);
    expect(store.content.has(named)).toBe(true);
    await run(store);
    expect(logs(store)).toEqual([kept, ...ended]);
    await run(store, { all: true, unusedSinceMs: nowMs - 30_000 });
    expect(logs(store)).toEqual([kept, ended[1]]);
    await run(store, { all: true });
    expect(logs(store)).toEqual([kept]);
    expect(store.builds.list()).toHaveLength(3);
    expect(measureStore(store.root, store.db, nowMs).find(({ kind }) => kind === 'logs')?.reclaimableBytes).toBe(0);
  });

  it('brings the store below its limit after a build, in little time', () => {
    const store = open();
    for (let n = 0; n < 10; n += 1) {
      nowMs += 60_000;
      step(store, `s${n}`);
    }
    const options = { store, limitBytes: 5 * MB, nowMs, budgetMs: 80, now: () => performance.now() };
    expect(cpuTimeMs(() => collectAfterBuild(options))).toBeLessThan(250);
    store.close();
    expect(snapshots(store)).toBeLessThan(6);
    expect(snapshots(store)).toBeGreaterThan(2);
    expect(storageLimit(store.root, 0)).toBe(Number.POSITIVE_INFINITY);
    expect(storageLimit(store.root, undefined)).toBeGreaterThanOrEqual(10e9);
  });
});
