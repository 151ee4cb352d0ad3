import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { RootView } from '../../src/snapshot/root-view.ts';
import { UpperWriter } from '../../src/snapshot/upper-writer.ts';
import { getXattr, makeNode, setXattr } from '../../src/sys/libc.ts';

const attributes = { mode: 0o750, uid: 0, gid: 0 };

describeNeeding(['root'], 'UpperWriter', () => {
  let base = '';
  let upper = '';
  let lower = '';
  let writer: UpperWriter;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'tsbuild-upper-'));
    upper = join(base, 'upper');
    lower = join(base, 'lower');
    mkdirSync(upper);
    mkdirSync(join(lower, 'data/sub'), { recursive: true });
    chmodSync(join(lower, 'data'), 0o1770);
    setXattr(join(lower, 'data'), 'user.note', Buffer.from([1, 0, 255]));
    writeFileSync(join(lower, 'data/file'), 'old');
    symlinkSync('/data', join(lower, 'srv'));
    symlinkSync('/etc/../../..', join(lower, 'out'));
    utimesSync(join(lower, 'data/sub'), 1000, 1000);
    utimesSync(join(lower, 'data'), 2000, 2000);
    writer = new UpperWriter({ upperDir: upper, lowerDirs: [lower], isRootless: false });
  });
  afterEach(() => rmSync(base, { recursive: true }));

  const paths = (): string[] => {
    const view = new RootView([upper, lower], { isRootless: false });
    const walk = (path: string): string[] =>
      view.list(path).flatMap((node) => (node.type === 'dir' ? [node.path, ...walk(node.path)] : [node.path]));
    return walk('/');
  };

  it('copies parents up with mode, xattrs and times, following links inside', () => {
    writeFileSync(writer.place('/srv/sub/new'), 'x');
    expect(readFileSync(join(upper, 'data/sub/new'), 'utf8')).toBe('x');
    const data = lstatSync(join(upper, 'data'));
    expect([data.mode & 0o7777, data.mtimeMs]).toEqual([0o1770, 2_000_000]);
    expect(getXattr(join(upper, 'data'), 'user.note')).toEqual(Buffer.from([1, 0, 255]));
    expect(existsSync(join(upper, 'srv'))).toBe(false);
    expect(paths()).toEqual(['/data', '/data/file', '/data/sub', '/data/sub/new', '/out', '/srv']);
  });

  it('makes missing directories with the attributes and leaves existing ones alone', () => {
    expect(writer.ensureDir('/srv/x/y', { ...attributes, mtimeMs: 5000 })).toBe('/data/x/y');
    writeFileSync(writer.place('/data/x/y/f'), '');
    writer.finish();
    expect(lstatSync(join(upper, 'data/x')).mode & 0o7777).toBe(0o750);
    expect(lstatSync(join(upper, 'data/x/y')).mtimeMs).toBe(5000);
    expect(lstatSync(join(upper, 'data/x')).mtimeMs).toBe(5000);
    expect(writer.ensureDir('/data/sub', attributes)).toBe('/data/sub');
    expect(existsSync(join(upper, 'data/sub'))).toBe(false);
  });

  it('never writes out of its directory', () => {
    writeFileSync(writer.place('/out/tmp-escape'), '');
    expect(existsSync(join(upper, 'tmp-escape'))).toBe(true);
    writer.ensureDir('/../../up', attributes);
    expect(existsSync(join(upper, 'up'))).toBe(true);
  });

  it('refuses a file in the place of a directory and the reverse, or replaces when told to', () => {
    expect(() => writer.place('/data')).toThrow('cannot replace directory "/data" with a file');
    expect(() => writer.ensureDir('/data/file/x', attributes)).toThrow('"/data/file" exists and is not a directory');
    writeFileSync(writer.place('/data/sub', { replaceDir: true }), '');
    expect(writer.ensureDir('/data/file/x', attributes, { replaceFile: true })).toBe('/data/file/x');
    expect(writer.ensureDir('/srv', attributes, { replaceFile: true, followLast: false })).toBe('/srv');
    expect(paths()).toEqual(['/data', '/data/file', '/data/file/x', '/data/sub', '/out', '/srv']);
  });

  it('deletes with a whiteout only what exists below', () => {
    writeFileSync(writer.place('/data/sub/mine'), '');
    writer.whiteout('/data/sub/mine');
    writer.whiteout('/data/none');
    writer.whiteout('/none/x');
    expect(existsSync(join(upper, 'data/sub/mine'))).toBe(false);
    expect(existsSync(join(upper, 'none'))).toBe(false);
    writer.whiteout('/srv/file');
    expect(lstatSync(join(upper, 'data/file')).isCharacterDevice()).toBe(true);
    writer.whiteout('/data');
    expect(paths()).toEqual(['/out', '/srv']);
    writer.ensureDir('/data', attributes);
    expect(getXattr(join(upper, 'data'), 'trusted.overlay.opaque')).toEqual(Buffer.from('y'));
    expect(paths()).toEqual(['/data', '/out', '/srv']);
  });

  it('makes a directory opaque and keeps what the snapshot put in', () => {
    writeFileSync(writer.place('/data/new'), '');
    writer.makeOpaque('/srv');
    expect(paths()).toEqual(['/data', '/data/new', '/out', '/srv']);
    writer.makeOpaque('/');
    expect(paths()).toEqual(['/data', '/data/new']);
  });

  it('copies a file up with its bytes, mode and times', () => {
    chmodSync(join(lower, 'data/file'), 0o4755);
    utimesSync(join(lower, 'data/file'), 3000, 3000.5);
    const hostPath = writer.copyUp('/srv/file');
    expect(hostPath).toBe(join(upper, 'data/file'));
    expect(readFileSync(hostPath, 'utf8')).toBe('old');
    expect([lstatSync(hostPath).mode & 0o7777, lstatSync(hostPath).mtimeMs]).toEqual([0o4755, 3_000_500]);
    expect(lstatSync(join(upper, 'data')).mtimeMs).toBe(2_000_000);
  });

  it('does not set the time of a directory that has gone, whatever took its place', () => {
    const outside = join(base, 'outside');
    mkdirSync(join(outside, 'y'), { recursive: true });
    utimesSync(join(outside, 'y'), 9000, 9000);
    writer.ensureDir('/x/y', { ...attributes, mtimeMs: 5000 });
    symlinkSync(outside, writer.place('/x', { replaceDir: true }));
    writer.finish();
    expect(lstatSync(join(outside, 'y')).mtimeMs).toBe(9_000_000);
  });

  it('replaces a deleted directory by a new one that starts empty', () => {
    mkdirSync(join(upper, 'd'));
    makeNode(join(upper, 'data'), 'char', 0, { major: 0, minor: 0 });
    writer.ensureDir('/data/fresh', attributes);
    linkSync(writer.copyUp('/out'), writer.place('/data/fresh/out'));
    expect(paths()).toEqual(['/d', '/data', '/data/fresh', '/data/fresh/out', '/out', '/srv']);
  });
});
