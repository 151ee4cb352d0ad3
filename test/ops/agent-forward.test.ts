import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { forwardAgent } from '../../src/ops/agent-forward.ts';
import { currentProcess, isAbandoned } from '../../src/store/owners.ts';

it('a forwarded agent is in a directory whose name tells whose it is, however long the path', async () => {
  const place = mkdtempSync(join(tmpdir(), 'tsbuild-forward-'));
  onTestFinished(() => rmSync(place, { recursive: true }));
  const parent = join(place, 'x'.repeat(200));
  mkdirSync(parent);
  const { uid = 0, gid = 0 } = { uid: process.getuid?.(), gid: process.getgid?.() };
  const forward = await forwardAgent('/nosuch', parent, { uid, gid, mode: 0o600 });
  const stat = statSync(forward.path);
  expect({ isSocket: stat.isSocket(), mode: stat.mode & 0o777 }).toEqual({ isSocket: true, mode: 0o600 });
  const [name = ''] = readdirSync(parent);
  expect(name).toMatch(new RegExp(`^${process.pid}-\\d+-\\d+-ssh-`));
  expect(isAbandoned(name, currentProcess())).toBe(false);
  forward.close();
  expect(readdirSync(parent)).toEqual([]);
});
