import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readRegular } from '../../src/sys/read-regular.ts';

it('reads files up to a size, and waits for no pipe and no device', () => {
  const place = mkdtempSync(join(tmpdir(), 'tsbuild-read-'));
  onTestFinished(() => rmSync(place, { recursive: true }));
  const path = (name: string): string => join(place, name);
  writeFileSync(path('file'), 'text');
  symlinkSync('file', path('link'));
  expect(String(readRegular(path('link'), 4))).toBe('text');
  expect(() => readRegular(path('link'), 3)).toThrow(`${path('link')} has more than 3 bytes`);
  truncateSync(path('file'), 3_000_000_000);
  expect(() => readRegular(path('file'), 1000)).toThrow(`${path('file')} has more than 1000 bytes`);
  execFileSync('mkfifo', [path('pipe')]);
  symlinkSync('/dev/zero', path('zero'));
  for (const name of ['pipe', 'zero']) {
    expect(() => readRegular(path(name), 1000)).toThrow(`${path(name)} is not a regular file`);
  }
  expect(() => readRegular(path('absent'), 1)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
});
