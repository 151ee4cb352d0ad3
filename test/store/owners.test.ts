import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import type { Store } from '../../src/store/open-store.ts';
import { currentProcess, isAbandoned, isAlive, startTimeOf, temporaryPrefix } from '../../src/store/owners.ts';
import { storeRig } from './store-rig.ts';

describe('owners', () => {
  const rig = storeRig();
  const self = currentProcess();

  it('tells the living from the dead', () => {
    expect(isAlive(self, self)).toBe(true);
    expect(isAlive({ ...self, started: '1' }, self)).toBe(false);
    expect(isAlive({ ...self, pid: 2 ** 22 + 1 }, self)).toBe(false);
    expect(isAlive({ ...self, boot: 'another' }, self)).toBe(false);
    expect(isAlive({ ...self, pid: 2 ** 22 + 1, pidNamespace: 'pid:[1]' }, self)).toBe(true);
  });

  it('counts a zombie as dead, whatever its name', async () => {
    const child = spawn('sh', ['-c', 'sleep 0 & exec sleep 60 #'], { stdio: 'ignore' });
    await once(child, 'spawn');
    expect(startTimeOf(String(child.pid))).toMatch(/^\d+$/);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(startTimeOf(String(child.pid))).toBeUndefined();
  });

  it('knows temporary files of dead processes by their names', () => {
    expect(isAbandoned(`${temporaryPrefix(self)}x`, self)).toBe(false);
    expect(isAbandoned(`${temporaryPrefix({ ...self, started: '1' })}x`, self)).toBe(true);
    expect(isAbandoned(`${temporaryPrefix({ ...self, started: '1', pidNamespace: 'pid:[1]' })}x`, self)).toBe(false);
    expect(isAbandoned('abc.partial', self)).toBe(false);
  });

  it('forgets this process when it holds nothing', () => {
    const root = rig.root();
    const store = rig.open(root);
    const active = store.snapshotter.prepare(undefined);
    const build = store.builds.start({ dockerfile: 'Dockerfile' });
    const owners = (): readonly unknown[] => rig.open(root).db.all('SELECT pid FROM owners');
    expect(owners()).toEqual([{ pid: process.pid }]);
    store.snapshotter.commit(active);
    store.builds.finish(build, 'completed');
    store.builds.finish(build, 'completed');
    store.close();
    expect(owners()).toEqual([]);
  });

  it('removes what a dead process was writing, except the state of a failed step', () => {
    const root = rig.root();
    const store = rig.open(root);
    const build = store.builds.start({ dockerfile: 'Dockerfile' });
    const [lost, failed, unrecorded] = [1, 2, 3].map(() => store.snapshotter.prepare(undefined));
    if (lost === undefined || failed === undefined || unrecorded === undefined) throw new Error('unreachable');
    const step = {
      number: 1,
      vertex: digestOf('v'),
      name: 'RUN x',
      startedAtMs: Date.now(),
      status: 'failed',
    } as const;
    store.builds.recordFailure(build, { ...step, activeKey: failed.key });
    store.snapshotter.keep(unrecorded);
    mkdirSync(join(lost.workDir, 'work'), { mode: 0 });
    die(store);
    const next = rig.open(root);
    expect(next.builds.lastFailure()?.activeKey).toBe(failed.key);
    expect(next.snapshotter.reopen(failed.key)).toEqual(failed);
    expect(next.snapshotter.reopen(lost.key)).toBeUndefined();
    next.close();
    expect([lost, failed, unrecorded].map(({ upperDir }) => existsSync(upperDir))).toEqual([false, true, false]);
  });

  it('sweeps only temporary files of dead processes', () => {
    const store = rig.open();
    const dead = join(store.root, 'tmp', `${temporaryPrefix({ ...self, started: '1' })}x`);
    const own = store.content.temporaryPath();
    writeFileSync(dead, '');
    writeFileSync(own, '');
    store.close();
    expect([existsSync(dead), existsSync(own)]).toEqual([false, true]);
  });
});

/** Makes the store's owner a process that has ended. */
function die(store: Store): void {
  store.db.run(`UPDATE owners SET started = '1'`);
}
