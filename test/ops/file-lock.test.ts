import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockFile, tryLockFile } from '../../src/ops/file-lock.ts';

describe('a file lock', () => {
  let path = '';
  beforeEach(() => {
    path = join(mkdtempSync(join(tmpdir(), 'tsbuild-lock-')), 'locks', 'a');
  });
  afterEach(() => rmSync(join(path, '../..'), { recursive: true }));

  it('is held by one exclusive or many shared holders', () => {
    const first = tryLockFile(path, 'shared');
    const second = tryLockFile(path, 'shared');
    expect(tryLockFile(path, 'exclusive')).toBeUndefined();
    first?.release();
    second?.release();
    const alone = tryLockFile(path, 'exclusive');
    expect(alone).toBeDefined();
    expect(tryLockFile(path, 'shared')).toBeUndefined();
    alone?.release();
  });

  it('is waited for until it is released or the wait is given up', async () => {
    const held = tryLockFile(path, 'exclusive');
    const controller = new AbortController();
    const givenUp = lockFile(path, 'exclusive', controller.signal);
    controller.abort(new Error('enough'));
    await expect(givenUp).rejects.toThrow();
    const waiting = lockFile(path, 'exclusive', new AbortController().signal);
    held?.release();
    (await waiting).release();
  });

  it('ends with the process that holds it', async () => {
    tryLockFile(path, 'shared')?.release();
    const holder = spawn('flock', ['-x', path, 'sh', '-c', 'echo held; exec sleep 60'], { detached: true });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    expect(tryLockFile(path, 'exclusive')).toBeUndefined();
    process.kill(-(holder.pid ?? 0), 'SIGKILL');
    (await lockFile(path, 'exclusive', AbortSignal.timeout(10_000))).release();
  });
});
