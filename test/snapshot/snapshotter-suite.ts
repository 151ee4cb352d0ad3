// What every Snapshotter must do, in the spirit of containerd's snapshotter suite.
import { spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { digestOf } from '../../solver/digest.ts';
import type { ActiveSnapshot, SnapshotName, Snapshotter } from '../../src/snapshot/snapshotter.ts';

/** `create` makes an empty snapshotter for one test. */
export function snapshotterSuite(name: string, create: () => Snapshotter): void {
  describe(`${name} as a Snapshotter`, () => {
    let snapshotter: Snapshotter;
    beforeEach(() => {
      snapshotter = create();
    });

    const commitFile = (parent: SnapshotName | undefined, file: string, text = file): SnapshotName => {
      const active = snapshotter.prepare(parent);
      writeFileSync(join(active.upperDir, file), text);
      return snapshotter.commit(active);
    };

    it('prepares an empty directory on scratch, owned by root and open to all whatever the umask', () => {
      const umask = process.umask(0o077);
      try {
        const active = snapshotter.prepare(undefined);
        expect(active.lowerDirs).toEqual([]);
        expect(active.parent).toBeUndefined();
        expect(readdirSync(active.upperDir)).toEqual([]);
        const { mode, uid, gid } = lstatSync(active.upperDir);
        expect([mode & 0o7777, uid, gid]).toEqual([0o755, process.geteuid?.(), process.getegid?.()]);
        expect(readdirSync(active.workDir)).toEqual([]);
        expect(statSync(active.workDir).dev).toBe(statSync(active.upperDir).dev);
      } finally {
        process.umask(umask);
      }
    });

    it('stacks directories newest first and names oldest first', () => {
      const a = commitFile(undefined, 'a');
      const b = commitFile(a, 'b');
      const c = commitFile(b, 'c');
      expect(snapshotter.chain(c)).toEqual([a, b, c]);
      expect(snapshotter.stack(c).map((dir) => readdirSync(dir))).toEqual([['c'], ['b'], ['a']]);
      expect(snapshotter.prepare(c).lowerDirs).toEqual(snapshotter.stack(c));
      expect(snapshotter.parentOf(c)).toBe(b);
      expect(snapshotter.parentOf(a)).toBeUndefined();
    });

    it('commits once per key', () => {
      const active = snapshotter.prepare(undefined);
      const name = snapshotter.commit(active);
      expect(snapshotter.commit(active)).toBe(name);
      expect(snapshotter.exists(name)).toBe(true);
    });

    it('keeps what was written when a snapshot is committed, and drops its work directory', () => {
      const active = snapshotter.prepare(undefined);
      writeFileSync(join(active.upperDir, 'f'), 'kept');
      mkdirSync(join(active.workDir, 'work'), { mode: 0 });
      const [directory] = snapshotter.stack(snapshotter.commit(active));
      expect(readFileSync(join(directory ?? '', 'f'), 'utf8')).toBe('kept');
      expect(existsSync(active.workDir)).toBe(false);
    });

    it('finds a snapshot by its chainID and gives the first to the second who commits it', () => {
      const first = snapshotter.prepare(undefined);
      const second = snapshotter.prepare(undefined);
      const name = snapshotter.commit(first, { chainID: 'sha256:x' });
      expect(snapshotter.commit(second, { chainID: 'sha256:x' })).toBe(name);
      expect(snapshotter.commit(second, { chainID: 'sha256:x' })).toBe(name);
      expect(snapshotter.findByChainID('sha256:x')).toBe(name);
      expect(snapshotter.findByChainID('sha256:y')).toBeUndefined();
    });

    it('does not commit a discarded snapshot, and discards twice', () => {
      const active = snapshotter.prepare(undefined);
      snapshotter.discard(active);
      snapshotter.discard(active);
      expect(() => snapshotter.commit(active)).toThrow(`snapshot "${active.key}" is not in the store`);
    });

    it('leaves a committed snapshot alone when it is discarded', () => {
      const active = snapshotter.prepare(undefined);
      const name = snapshotter.commit(active);
      snapshotter.discard(active);
      expect(snapshotter.exists(name)).toBe(true);
      expect(existsSync(active.upperDir)).toBe(true);
    });

    it('stacks the changes of one snapshot on another without a new directory', () => {
      const a = commitFile(undefined, 'a');
      const changes = commitFile(undefined, 'c');
      const stacked = snapshotter.stackOn(a, changes);
      expect(snapshotter.chain(stacked)).toEqual([a, stacked]);
      expect(snapshotter.stack(stacked)).toEqual([...snapshotter.stack(changes), ...snapshotter.stack(a)]);
      expect(snapshotter.stackOn(a, changes)).toBe(stacked);
      expect(snapshotter.stackOn(undefined, changes)).toBe(changes);
      expect(snapshotter.parentOf(stacked)).toBe(a);
    });

    it('lists a directory once in a stack, where it is newest, and every layer in the chain', () => {
      const a = commitFile(undefined, 'a');
      const b = commitFile(a, 'b');
      const again = snapshotter.stackOn(b, a);
      const [aDir] = snapshotter.stack(a);
      const [bDir] = snapshotter.stack(b);
      expect(snapshotter.stack(again)).toEqual([aDir, bDir]);
      expect(snapshotter.chain(again)).toEqual([a, b, again]);
    });

    it('takes the layer of a directory against what it was committed on, wherever it is stacked', () => {
      const a = commitFile(undefined, 'a');
      const b = commitFile(a, 'b');
      const other = commitFile(undefined, 'other');
      const stacked = snapshotter.stackOn(other, b);
      const [upperDir, ...lowerDirs] = snapshotter.stack(b);
      expect(snapshotter.layerDirs(b)).toEqual({ upperDir, lowerDirs });
      expect(snapshotter.layerDirs(stacked)).toEqual({ upperDir, lowerDirs });
      expect(snapshotter.layerDirs(a).lowerDirs).toEqual([]);
      expect([a, b, stacked].map((name) => snapshotter.changesDir(name))).toEqual([...lowerDirs, upperDir, upperDir]);
    });

    it('knows when a snapshot was made', () => {
      const before = Date.now();
      const createdAtMs = snapshotter.createdAtMs(commitFile(undefined, 'a'));
      expect(createdAtMs).toBeGreaterThanOrEqual(before);
      expect(createdAtMs).toBeLessThanOrEqual(Date.now());
    });

    it('remembers the layer of a directory for all snapshots that share it', () => {
      const a = commitFile(undefined, 'a');
      const changes = commitFile(undefined, 'c');
      const stacked = snapshotter.stackOn(a, changes);
      expect(snapshotter.diffIDOf(stacked)).toBeUndefined();
      snapshotter.setDiffID(changes, digestOf('c'), 1024);
      expect(snapshotter.diffIDOf(stacked)).toEqual({ diffID: digestOf('c'), sizeBytes: 1024 });
      expect(snapshotter.diffIDOf(a)).toBeUndefined();
    });

    it('reopens an active snapshot by its key, and no other', () => {
      const active = snapshotter.prepare(commitFile(undefined, 'a'));
      snapshotter.keep(active);
      expect(snapshotter.reopen(active.key)).toEqual(active);
      snapshotter.commit(active);
      expect(snapshotter.reopen(active.key)).toBeUndefined();
      expect(() => snapshotter.keep(active)).toThrow(`snapshot "${active.key}" is not in the store`);
    });

    it('names what is not there', () => {
      const text = 'snapshot "zz" is not in the store';
      expect(snapshotter.exists('zz')).toBe(false);
      expect(snapshotter.exists('../x')).toBe(false);
      for (const call of [
        () => snapshotter.prepare('zz'),
        () => snapshotter.stack('zz'),
        () => snapshotter.chain('zz'),
        () => snapshotter.parentOf('zz'),
        () => snapshotter.stackOn('zz', 'zz'),
        () => snapshotter.stackOn(undefined, 'zz'),
        () => snapshotter.setDiffID('zz', digestOf(''), 0),
        () => snapshotter.diffIDOf('zz'),
        () => snapshotter.layerDirs('zz'),
        () => snapshotter.changesDir('zz'),
        () => snapshotter.createdAtMs('zz'),
      ]) {
        expect(call).toThrow(text);
      }
    });

    itNeeding(['root'], 'hands the owner of the root directory on', () => {
      const active = snapshotter.prepare(undefined);
      chownSync(active.upperDir, 7, 8);
      const { uid, gid } = lstatSync(snapshotter.prepare(snapshotter.commit(active)).upperDir);
      expect([uid, gid]).toEqual([7, 8]);
    });

    itNeeding(['root'], 'stacks as overlayfs mounts it, 60 deep', () => {
      let name: SnapshotName | undefined;
      for (let i = 0; i < 60; i += 1) name = commitFile(name, `f${i}`);
      const again = snapshotter.stackOn(name, snapshotter.chain(name ?? '')[3] ?? '');
      expect(listMounted(snapshotter.prepare(again))).toHaveLength(60);
    });
  });
}

/** Names in the root of the mounted overlay. */
function listMounted({ lowerDirs, upperDir, workDir }: ActiveSnapshot): readonly string[] {
  const at = mkdtempSync(join(tmpdir(), 'tsbuild-mount-'));
  const options = `lowerdir=${lowerDirs.join(':')},upperdir=${upperDir},workdir=${workDir}`;
  // A mount namespace of its own: nothing to unmount, whatever happens.
  const script = 'mount -t overlay overlay -o "$1" "$2" && ls "$2"';
  const { stdout, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', options, at], { encoding: 'utf8' });
  rmSync(at, { recursive: true });
  if (stderr !== '') throw new Error(stderr);
  return stdout.trim().split('\n');
}
