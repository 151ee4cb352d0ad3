import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openStore } from '../../src/store/open-store.ts';
import { claimStore } from '../../src/store/store-ids.ts';
import { describeNeeding } from '../needs.ts';
import { storeRig, thrown } from './store-rig.ts';

const modeOf = (path: string): number => statSync(path).mode & 0o7777;

describe('a store', () => {
  const rig = storeRig();

  it.each([0, 0o022, 0o077])('is for its owner alone with the mask %i', (mask) => {
    const before = process.umask(mask);
    try {
      const root = join(rig.root(), 'store');
      claimStore(root);
      const store = openStore(root);
      store.builds.directory(store.builds.start({ dockerfile: 'Dockerfile' }));
      store.close();
      expect(modeOf(root)).toBe(0o700);
      const directories = readdirSync(root).filter((name) => lstatSync(join(root, name)).isDirectory());
      for (const name of directories) expect([name, modeOf(join(root, name))]).toEqual([name, 0o700]);
    } finally {
      process.umask(before);
    }
  });

  it('is closed to others where its directory was there, or was made looser', () => {
    const root = rig.root();
    chmodSync(root, 0o757);
    openStore(root).close();
    expect(modeOf(root)).toBe(0o750);
    chmodSync(root, 0o777);
    openStore(root).close();
    expect(modeOf(root)).toBe(0o770);
    chmodSync(root, 0o755);
    openStore(root).close();
    expect(modeOf(root)).toBe(0o750);
  });

  it('leaves a directory open that holds other things', () => {
    const root = rig.root();
    writeFileSync(join(root, 'notes'), '');
    chmodSync(root, 0o755);
    openStore(root).close();
    openStore(root).close();
    expect(modeOf(root)).toBe(0o755);
    expect(modeOf(join(root, 'runs'))).toBe(0o700);
    chmodSync(root, 0o1777);
    openStore(root).close();
    expect(modeOf(root)).toBe(0o1777);
  });
});

describeNeeding(['root'], 'a directory of others', () => {
  const rig = storeRig();

  it('is no store', () => {
    const root = rig.root();
    openStore(root).close();
    chownSync(root, 1234, 1234);
    const hint = 'name a directory of your own with TSBUILD_ROOT';
    const refusal = { code: 'TSB_STORE_FOREIGN', message: `the store "${root}" belongs to user 1234`, hint };
    expect(thrown(() => openStore(root))).toEqual(refusal);
    expect(thrown(() => claimStore(root))).toEqual(refusal);
    chownSync(root, 65534, 65534);
    expect(thrown(() => openStore(root)).message).toBe(`the store "${root}" belongs to another user`);
  });

  it.each(['snapshots', 'notes'])('is refused where every user may put something in, here %s', (name) => {
    const root = rig.root();
    mkdirSync(join(root, name));
    if (name === 'snapshots') chownSync(join(root, name), 1234, 1234);
    chmodSync(root, name === 'snapshots' ? 0o1777 : 0o777);
    const refusal = {
      code: 'TSB_STORE_FOREIGN',
      message: `the store "${root}" can be written by every user`,
      hint: `take the right away (chmod o-w ${root}) if you trust what is in there, or name another directory with TSBUILD_ROOT`,
    };
    expect(thrown(() => openStore(root))).toEqual(refusal);
    expect(thrown(() => claimStore(root))).toEqual(refusal);
  });
});
