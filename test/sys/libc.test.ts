import { lstatSync, mkdtempSync, readSync, rmSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { getXattr, listXattrs, makeNode, makePipe, setTimesNs, setXattr, splitDevice } from '../../src/sys/libc.ts';

describe('libc', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-libc-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('writes and reads an extended attribute byte for byte', () => {
    const path = join(dir, 'f');
    writeFileSync(path, '');
    const value = Buffer.from([0, 1, 255, 128, 0, 200]);
    setXattr(path, 'user.a', value);
    expect(getXattr(path, 'user.a')).toEqual(value);
    expect(listXattrs(path)).toEqual(['user.a']);
  });

  it('reads an attribute larger than its first buffer', () => {
    const path = join(dir, 'f');
    writeFileSync(path, '');
    setXattr(path, 'user.big', Buffer.alloc(3000, 7));
    expect(getXattr(path, 'user.big')).toEqual(Buffer.alloc(3000, 7));
  });

  it('names the system call, the errno and the path of a failure', () => {
    expect(() => setXattr(join(dir, 'none'), 'user.a', Buffer.alloc(1))).toThrow(
      `lsetxattr: ENOENT: ${join(dir, 'none')}`,
    );
  });

  itNeeding(['root'], 'makes device nodes with large numbers', () => {
    const path = join(dir, 'dev');
    makeNode(path, 'char', 0o600, { major: 300, minor: 70000 });
    const stat = lstatSync(path);
    expect(stat.isCharacterDevice()).toBe(true);
    expect(splitDevice(stat.rdev)).toEqual({ major: 300, minor: 70000 });
  });

  it('sets the times of a link itself, before and after the epoch', () => {
    const path = join(dir, 'link');
    symlinkSync('nowhere', path);
    setTimesNs(path, 0n, 1_700_000_000_123_456_789n);
    expect(lstatSync(path, { bigint: true }).mtimeNs).toBe(1_700_000_000_123_456_789n);
    setTimesNs(path, 0n, -1_500_000_000n);
    expect(lstatSync(path, { bigint: true }).mtimeNs).toBe(-1_500_000_000n);
  });

  it('makes a pipe', () => {
    const { readFd, writeFd } = makePipe();
    writeSync(writeFd, 'hi');
    const buffer = Buffer.alloc(2);
    readSync(readFd, buffer);
    expect(buffer.toString()).toBe('hi');
  });
});
