import { expect, it } from 'vitest';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ContextTree } from '../../src/ops/build-context.ts';
import { matchBelow } from '../../src/ops/glob.ts';
import { cpuTimeMs } from '../cpu-time.ts';

it('matches names against wildcards of many stars, soon', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tsbuild-glob-'));
  try {
    const names = ['a'.repeat(250), `${'a'.repeat(40)}b`, 'c'];
    for (const name of names) writeFileSync(join(directory, name), '');
    let found: readonly string[] = [];
    const tookMs = cpuTimeMs(() => {
      found = matchBelow(new ContextTree(directory), '/', [`${'*a'.repeat(20)}*b`]).map(({ relative }) => relative);
    });
    expect(found).toEqual([names[1]]);
    expect(tookMs).toBeLessThan(1000);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
