import { lstatSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cpuTimeMs } from '../cpu-time.ts';
import { digestOf } from '../../solver/digest.ts';
import { isRacy } from '../../src/cache/stat-cache.ts';
import type { FileStat } from '../../src/cache/stat-chunk.ts';
import { storeRig } from '../store/store-rig.ts';

const OLD: FileStat = {
  dev: 65024,
  ino: 2 ** 40 + 1,
  ctimeMs: 1_700_000_000_123.456,
  mtimeMs: 1_600_000_000_000,
  size: 5_000_000_000,
  mode: 0o644,
  uid: 1000,
  gid: 1000,
};
const LATER_MS = OLD.ctimeMs + 60_000;
const A = digestOf('a');
const B = digestOf('b');

describe('StatCache', () => {
  const rig = storeRig();

  it('remembers a digest between sessions, by root and path', () => {
    const store = rig.open();
    const session = store.statCache.open('/ctx');
    session.put('/a', OLD, A, LATER_MS);
    session.put('/dir/ü b', OLD, B, LATER_MS);
    expect(session.get('/a', OLD)).toBe(A);
    session.flush();
    const next = rig.open(store.root).statCache.open('/ctx');
    expect(next.get('/dir/ü b', OLD)).toBe(B);
    expect(next.get('/a', OLD)).toBe(A);
    expect(next.get('/b', OLD)).toBeUndefined();
    expect(store.statCache.open('/other').get('/a', OLD)).toBeUndefined();
  });

  it('keeps nothing without flush', () => {
    const store = rig.open();
    store.statCache.open('/ctx').put('/a', OLD, A, LATER_MS);
    expect(store.statCache.open('/ctx').get('/a', OLD)).toBeUndefined();
  });

  it.each(Object.keys(OLD) as (keyof FileStat)[])('forgets a file whose %s is another', (field) => {
    const store = rig.open();
    const session = store.statCache.open('/ctx');
    session.put('/a', OLD, A, LATER_MS);
    session.flush();
    const changed = { ...OLD, [field]: OLD[field] + (field.endsWith('Ms') ? 0.001 : 1) };
    expect(session.get('/a', changed)).toBeUndefined();
    expect(store.statCache.open('/ctx').get('/a', changed)).toBeUndefined();
    expect(store.statCache.open('/ctx').get('/a', OLD)).toBe(A);
  });

  it('does not trust what was recorded within the tick of the last change', () => {
    const store = rig.open();
    const session = store.statCache.open('/ctx');
    session.put('/a', OLD, A, OLD.ctimeMs + 5);
    session.put('/future', OLD, A, OLD.ctimeMs - 60_000);
    expect(session.get('/a', OLD)).toBeUndefined();
    expect(session.get('/future', OLD)).toBeUndefined();
    session.put('/a', OLD, A, LATER_MS);
    session.flush();
    session.put('/a', OLD, B, OLD.ctimeMs + 5);
    session.flush();
    expect(store.statCache.open('/ctx').get('/a', OLD)).toBeUndefined();
  });

  it('takes a longer tick where times are whole seconds', () => {
    expect(isRacy({ ...OLD, ctimeMs: 1_700_000_000_000 }, 1_700_000_001_500)).toBe(true);
    expect(isRacy({ ...OLD, ctimeMs: 1_700_000_000_000.25 }, 1_700_000_001_500)).toBe(false);
  });

  it('writes nothing when nothing has changed', () => {
    const store = rig.open();
    const session = store.statCache.open('/ctx');
    session.put('/a', OLD, A, LATER_MS);
    session.flush();
    store.db.run('UPDATE stat_cache SET saved_at_ms = 1');
    const next = store.statCache.open('/ctx');
    expect(next.get('/a', OLD)).toBe(A);
    next.flush();
    expect(store.db.get('SELECT saved_at_ms FROM stat_cache')).toEqual({ saved_at_ms: 1 });
  });

  it('drops files that no build has asked for in a month, once they are half of all', () => {
    let nowMs = 0;
    const store = rig.open(undefined, { now: () => nowMs });
    const session = store.statCache.open('/ctx');
    session.put('/a', OLD, A, LATER_MS);
    session.put('/b', OLD, B, LATER_MS);
    session.flush();
    const putAt = (day: number, path: string): void => {
      nowMs = day * 86_400_000;
      const later = store.statCache.open('/ctx');
      expect(later.get('/b', OLD)).toBe(B);
      later.put(path, OLD, A, LATER_MS);
      later.flush();
    };
    putAt(31, '/c');
    expect(store.statCache.open('/ctx').get('/a', OLD)).toBe(A);
    nowMs = 70 * 86_400_000;
    const last = store.statCache.open('/ctx');
    expect(last.get('/b', OLD)).toBe(B);
    last.put('/c', OLD, A, OLD.ctimeMs);
    last.flush();
    expect(last.get('/b', OLD)).toBe(B);
    expect(['/a', '/c'].map((path) => store.statCache.open('/ctx').get(path, OLD))).toEqual([undefined, undefined]);
    expect(store.statCache.open('/ctx').get('/b', OLD)).toBe(B);
  });

  it('finds files in any order, across chunks, and writes only what has changed', () => {
    const store = rig.open();
    const session = store.statCache.open('/ctx');
    for (let i = 0; i < 3000; i += 1) session.put(`/${i}`, { ...OLD, ino: i }, i % 2 === 0 ? A : B, LATER_MS);
    session.flush();
    store.db.run('UPDATE stat_cache SET saved_at_ms = 1');
    const next = store.statCache.open('/ctx');
    for (let i = 2999; i >= 0; i -= 7) expect(next.get(`/${i}`, { ...OLD, ino: i })).toBe(i % 2 === 0 ? A : B);
    next.put('/1500', { ...OLD, ino: 9 }, A, LATER_MS);
    next.put('/new', OLD, A, LATER_MS);
    next.flush();
    expect(store.db.all('SELECT chunk, saved_at_ms = 1 AS old FROM stat_cache ORDER BY chunk')).toEqual([
      { chunk: 0, old: 1 },
      { chunk: 1, old: 0 },
      { chunk: 2, old: 0 },
    ]);
  });

  it('takes bytes of an unknown form as no entries', () => {
    const store = rig.open();
    for (const bytes of [
      '',
      'tsbstat1',
      'tsbstat1\0\0\0\0\0\0\xf0\x7f',
      'tsbstat1\0\0\0\0\0\0\xf0\x3f',
      'nonsense of some length',
    ]) {
      store.db.run('INSERT OR REPLACE INTO stat_cache VALUES (?, 0, ?, 0)', '/ctx', Buffer.from(bytes, 'latin1'));
      expect(store.statCache.open('/ctx').get('/a', OLD)).toBeUndefined();
    }
  });

  it('never gives the digest of former bytes for a real file, whatever is done to it', () => {
    const dir = mkdtempSync(join(tmpdir(), 'tsbuild-stat-'));
    const path = join(dir, 'f');
    const other = join(dir, 'g');
    const session = rig.open().statCache.open(dir);
    writeFileSync(path, '0000');
    for (let i = 1; i < 2000; i += 1) {
      const before = lstatSync(path);
      session.put('/f', before, digestOf(String(i - 1).padStart(4, '0')), Date.now());
      const text = String(i).padStart(4, '0');
      if (i % 2 === 0) writeFileSync(path, text);
      else {
        writeFileSync(other, text);
        renameSync(other, path);
      }
      utimesSync(path, before.atimeMs / 1000, before.mtimeMs / 1000);
      const found = session.get('/f', lstatSync(path));
      if (found !== undefined) expect(found).toBe(digestOf(text));
    }
    rmSync(dir, { recursive: true });
  });

  it('serves 50,000 files in tens of milliseconds', () => {
    const store = rig.open();
    const files = Array.from({ length: 50_000 }, (_, i) => ({
      path: `/src/package-${Math.floor(i / 100)}/lib/module-${i}.ts`,
      stat: { ...OLD, ino: i, size: i },
    }));
    const first = store.statCache.open('/ctx');
    const putMs = cpuTimeMs(() => {
      for (const { path, stat } of files) first.put(path, stat, A, LATER_MS);
    });
    const flushMs = cpuTimeMs(() => first.flush());
    const next = store.statCache.open('/ctx');
    const getMs = cpuTimeMs(() => {
      for (const { path, stat } of files) if (next.get(path, stat) !== A) throw new Error(path);
    });
    next.put('/src/one', OLD, B, LATER_MS);
    const reflushMs = cpuTimeMs(() => next.flush());
    if (process.env.TSBUILD_SHOW_TIMES === '1')
      process.stderr.write(JSON.stringify({ putMs, flushMs, getMs, reflushMs }));
    expect(getMs).toBeLessThan(500);
    expect(reflushMs).toBeLessThan(1000);
  });
});
