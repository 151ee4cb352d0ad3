// A store's files have owners that the kernel knows, or ones that were written down.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { claimStore } from '../../src/store/store-ids.ts';

describe('the store of an ordinary user', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'tsbuild-store-ids-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('is for several user ids from the first build with them', () => {
    const store = join(root, 'new');
    claimStore(store);
    expect(readFileSync(join(store, 'user-ids'), 'utf8')).toBe('several');
    claimStore(store);
  });

  it('stays with several when it has files and no mark', () => {
    mkdirSync(join(root, 'snapshots', '1'), { recursive: true });
    expect(() => claimStore(root)).not.toThrow();
  });

  it('is refused where its owners were written down and need not be any more', () => {
    writeFileSync(join(root, 'user-ids'), 'single');
    expect(() => claimStore(root)).toThrow(
      expect.objectContaining({
        code: 'TSB_STORE_OTHER_IDS',
        message: `the store ${root} was made where a single user id was available, and there are several now`,
        hint: 'remove it, or name another directory with TSBUILD_ROOT',
      }),
    );
  });
});
