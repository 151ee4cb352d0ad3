import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { cpuTimeMs } from '../cpu-time.ts';
import { describeNeeding, isRoot } from '../needs.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { SCHEMA_VERSION } from '../../src/store/schema.ts';
import { defaultStoreRoot } from '../../src/store/store-root.ts';
import { storeRig, thrown } from './store-rig.ts';

describe('openStore', () => {
  const rig = storeRig();

  it('lays the store out and opens it again', () => {
    const root = join(rig.root(), 'new', 'store');
    const store = openStore(root);
    expect(
      readdirSync(root)
        .filter((name) => !name.startsWith('meta.db'))
        .sort(),
    ).toEqual(['blobs', 'locks', 'mounts', 'reserve', 'runs', 'snapshots', 'tmp', ...(isRoot ? ['user-ids'] : [])]);
    expect(existsSync(join(root, 'blobs/sha256'))).toBe(true);
    const name = store.snapshotter.commit(store.snapshotter.prepare(undefined));
    store.close();
    store.close();
    expect(rig.open(root).snapshotter.exists(name)).toBe(true);
  });

  it('syncs at checkpoints only and waits for others', () => {
    const { db } = rig.open();
    expect(db.get('PRAGMA journal_mode')).toEqual({ journal_mode: 'wal' });
    expect(db.get('PRAGMA synchronous')).toEqual({ synchronous: 1 });
    expect(db.get('PRAGMA foreign_keys')).toEqual({ foreign_keys: 1 });
    expect(db.get('PRAGMA busy_timeout')).toEqual({ timeout: 30_000 });
  });

  it('opens in a few milliseconds', () => {
    const root = rig.root();
    openStore(root).close();
    const times = [1, 2, 3, 4, 5].map(() => {
      let store: Store | undefined;
      const tookMs = cpuTimeMs(() => {
        store = openStore(root);
      });
      store?.close();
      return tookMs;
    });
    expect(Math.min(...times)).toBeLessThan(5);
  });

  it('rolls a transaction back when its function throws, and joins nested ones', () => {
    const { db } = rig.open();
    const insert = (): unknown =>
      db.transaction(() => db.run(`INSERT INTO cache_keys (digest, output) VALUES ('d', 0)`));
    expect(() =>
      db.transaction(() => {
        insert();
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(db.all('SELECT * FROM cache_keys')).toEqual([]);
    insert();
    expect(db.all('SELECT * FROM cache_keys')).toHaveLength(1);
  });

  it('says that the store cannot be written', () => {
    // Nobody may make a directory in sysfs, root neither.
    expect(thrown(() => openStore('/sys/tsbuild'))).toEqual({
      code: 'TSB_STORE_READ_ONLY',
      message: 'cannot write to the store "/sys/tsbuild"',
      hint: 'make it writable for this user, or name another directory with TSBUILD_ROOT',
    });
  });

  it('says that something else is in the way', () => {
    const root = join(rig.root(), 'file');
    writeFileSync(root, '');
    expect(thrown(() => openStore(root))).toEqual({
      code: 'TSB_STORE_NOT_A_DIRECTORY',
      message: `cannot make the store "${root}": there is a file in its way`,
      hint: 'name another directory with TSBUILD_ROOT',
    });
  });

  it('says that the database is damaged', () => {
    const root = rig.root();
    openStore(root).close();
    writeFileSync(join(root, 'meta.db'), 'this is no database, and it is long enough to have been one '.repeat(20));
    expect(thrown(() => openStore(root))).toEqual({
      code: 'TSB_STORE_CORRUPT',
      message: `the store "${root}" is damaged: "${root}/meta.db" is no valid database`,
      hint: `remove the directory "${root}" and build again`,
    });
  });

  it('says that a later tsbuild has written the store', () => {
    const root = rig.root();
    const store = openStore(root);
    store.db.exec(`PRAGMA user_version=${SCHEMA_VERSION + 1}`);
    store.close();
    expect(thrown(() => openStore(root))).toEqual({
      code: 'TSB_STORE_NEWER',
      message: `the store "${root}" has schema version ${SCHEMA_VERSION + 1}, this tsbuild knows versions up to ${SCHEMA_VERSION}`,
      hint: 'use the newer tsbuild, or name another directory with TSBUILD_ROOT',
    });
  });

  it('says that another process keeps the store locked', () => {
    const root = rig.root();
    openStore(root).close();
    const other = new DatabaseSync(join(root, 'meta.db'));
    other.exec('BEGIN IMMEDIATE');
    const store = rig.open(root, { busyTimeoutMs: 20 });
    expect(thrown(() => store.snapshotter.prepare(undefined))).toEqual({
      code: 'TSB_STORE_LOCKED',
      message: `another process keeps the store "${root}" locked`,
      hint: 'wait for the other tsbuild to end, or end it',
    });
    other.close();
    expect(store.snapshotter.prepare(undefined).key).toBe('1');
  });

  it('lets eight processes make and open a new store at once', () => {
    const root = join(rig.root(), 'store');
    const script = new URL('./open-child.ts', import.meta.url).pathname;
    const shell = Array.from({ length: 8 }, () => `"${process.execPath}" "${script}" "${root}" &`).join(' ');
    const { stdout, stderr } = spawnSync('sh', ['-c', `${shell} wait`], { encoding: 'utf8' });
    expect([stdout.trim().split('\n').sort().join(' '), stderr]).toEqual(['1 2 3 4 5 6 7 8', '']);
  });

  it('waits for another that makes the same store at the same moment', async () => {
    const base = rig.root();
    const roots = Array.from({ length: 60 }, (_, round) => join(base, `store-${round}`));
    const threads = 2;
    const arrived = new Int32Array(new SharedArrayBuffer(4));
    const failures = Array.from({ length: threads }, async () => {
      const worker = new Worker(new URL('./open-race.ts', import.meta.url), {
        workerData: { roots, threads, arrived },
      });
      const [found] = (await once(worker, 'message')) as [string[]];
      return found;
    });
    expect((await Promise.all(failures)).flat()).toEqual([]);
  });
});

describeNeeding(['root'], 'a store on a full disk', () => {
  const rig = storeRig();
  const mounted: string[] = [];
  afterEach(() => {
    for (const path of mounted.splice(0)) spawnSync('umount', [path]);
  });

  it('says that no space is left, for records and blobs, and goes on once there is some', () => {
    const root = join(rig.root(), 'disk');
    mkdirSync(root);
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', root]).status).toBe(0);
    mounted.push(root);
    const store = openStore(root);
    const full = {
      code: 'TSB_STORE_NO_SPACE',
      message: `no space left for the store "${root}"`,
      hint: 'free some space there, or name a directory on another disk with TSBUILD_ROOT',
    };
    expect(thrown(() => store.content.put(Buffer.alloc(9_000_000)))).toEqual(full);
    expect(readdirSync(join(root, 'tmp'))).toEqual([]);
    const ballast = join(root, 'ballast');
    expect(spawnSync('sh', ['-c', `cat /dev/zero > ${ballast}`]).status).not.toBe(0);
    const record = (length: number) => (): unknown =>
      store.db.run(`INSERT INTO cache_keys (digest, output) VALUES (?, 0)`, 'x'.repeat(length));
    // In the space put by.
    record(100_000)();
    expect(readdirSync(root)).not.toContain('reserve');
    expect(thrown(record(1_500_000))).toEqual(full);
    rmSync(ballast);
    store.snapshotter.commit(store.snapshotter.prepare(undefined));
    store.close();
    openStore(root).close();
    expect(readdirSync(root)).toContain('reserve');
  });
});

describe('defaultStoreRoot', () => {
  it.each([
    [{ TSBUILD_ROOT: '/r', XDG_DATA_HOME: '/x', HOME: '/h' }, 0, '/r'],
    [{ XDG_DATA_HOME: '/x', HOME: '/root' }, 0, '/var/lib/tsbuild'],
    [{ TSBUILD_ROOT: '', XDG_DATA_HOME: '/x', HOME: '/h' }, 1000, '/x/tsbuild'],
    [{ HOME: '/h' }, 1000, '/h/.local/share/tsbuild'],
    [{ HOME: '/h', XDG_DATA_HOME: 'x' }, 1000, '/h/.local/share/tsbuild'],
    [{ HOME: '' }, 1000, join(userInfo().homedir, '.local/share/tsbuild')],
    [{}, 1000, join(userInfo().homedir, '.local/share/tsbuild')],
    [{ TSBUILD_ROOT: './r/../s' }, 0, join(process.cwd(), 's')],
  ])('%j for user %d is %s', (env, uid, root) => {
    expect(defaultStoreRoot(env, uid)).toBe(root);
  });
});
