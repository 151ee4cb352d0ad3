import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeTree } from '../../src/gc/remove-tree.ts';

describe('removeTree', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-tree-'));
    mkdirSync(join(dir, 'tree/a/b'), { recursive: true });
    writeFileSync(join(dir, 'tree/a/f'), '');
    writeFileSync(join(dir, 'outside'), '');
    symlinkSync(dir, join(dir, 'tree/a/b/link'));
    chmodSync(join(dir, 'tree/a/b'), 0);
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('removes a tree, not what its links point at', () => {
    expect(removeTree(join(dir, 'tree'), 1, () => 0)).toBe(true);
    expect(existsSync(join(dir, 'tree'))).toBe(false);
    expect(existsSync(join(dir, 'outside'))).toBe(true);
    expect(removeTree(join(dir, 'tree'), 1, () => 0)).toBe(true);
  });

  it('stops at the deadline and goes on the next time', () => {
    let clockMs = 0;
    expect(removeTree(join(dir, 'tree'), 2, () => ++clockMs)).toBe(false);
    expect(existsSync(join(dir, 'tree/a/b'))).toBe(true);
    expect(removeTree(join(dir, 'tree'), 9, () => 0)).toBe(true);
  });
});
