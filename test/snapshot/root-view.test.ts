import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { RootView } from '../../src/snapshot/root-view.ts';
import { setXattr } from '../../src/sys/libc.ts';
import { describeEntry, type OverlayAnswer, type OverlayQuestion } from './overlay-reader.ts';
import { type Entry, randomEntries, randomName, writeEntries } from './random-tree.ts';

let base = '';
let count = 0;
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'tsbuild-view-'));
});
afterAll(() => rmSync(base, { recursive: true }));

function newDir(label: string): string {
  const dir = join(base, `${label}${count++}`);
  mkdirSync(dir);
  return dir;
}

function makeStack(layers: readonly (readonly Entry[])[]): string[] {
  return layers.map((layer) => {
    const dir = newDir('l');
    writeEntries(dir, layer);
    return dir;
  });
}

function walkView(view: RootView, path: string): string[] {
  return view.list(path).flatMap((node) => {
    const line = describeEntry(node);
    return node.type === 'dir' ? [line, ...walkView(view, node.path)] : [line];
  });
}

function probeView(view: RootView, path: string): string {
  try {
    return view.lookup(path, { followLast: true })?.path ?? 'missing';
  } catch (error) {
    return error instanceof TsbuildError && error.code === 'TSB_PATH_LINK_LOOP' ? 'ELOOP' : 'error';
  }
}

function askKernel(questions: readonly OverlayQuestion[]): OverlayAnswer[] {
  const reader = fileURLToPath(new URL('./overlay-reader.ts', import.meta.url));
  const child = spawnSync('unshare', ['-m', process.execPath, reader, 'read'], {
    input: JSON.stringify(questions),
    maxBuffer: 1 << 28,
    encoding: 'utf8',
  });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout) as OverlayAnswer[];
}

describeNeeding(['root'], 'RootView beside a mounted overlay', () => {
  it('sees the entries and resolves the paths that the kernel does', () => {
    const stacks = fc.sample(fc.array(randomEntries, { minLength: 1, maxLength: 4 }), { numRuns: 150, seed: 7 });
    const probes = fc.sample(
      fc
        .array(fc.oneof(randomName, fc.constant('..')), { minLength: 1, maxLength: 4 })
        .map((names) => `/${names.join('/')}`),
      { numRuns: 60, seed: 8 },
    );
    const questions = stacks.map((layers) => ({
      dirs: [...makeStack(layers), newDir('empty')],
      mountPoint: newDir('m'),
      options: 'redirect_dir=off,metacopy=off',
      probes,
    }));
    const answers = askKernel(questions);
    let resolved = 0;
    for (const [index, question] of questions.entries()) {
      const view = new RootView(question.dirs, { isRootless: false });
      const kernel = answers[index];
      expect(walkView(view, '/').sort()).toEqual([...(kernel?.entries ?? [])].sort());
      for (const [at, path] of probes.entries()) {
        const seen = kernel?.probes[at] ?? '';
        if (seen.startsWith('/')) {
          expect([path, probeView(view, path)]).toEqual([path, seen.split(' ')[0]]);
          resolved++;
        } else if (!path.includes('..')) {
          expect(probeView(view, path)).toBe(seen === 'ELOOP' ? 'ELOOP' : 'missing');
        }
      }
    }
    expect(resolved).toBeGreaterThan(500);
  });
});

describe('RootView', () => {
  let dir = '';
  beforeEach(() => {
    dir = newDir('t');
  });

  it('answers in byte order, also where UTF-16 order differs', () => {
    for (const file of ['\uffee', '\u{1f600}', 'b', 'B', 'é']) writeFileSync(join(dir, file), '');
    const names = new RootView([dir]).list('/').map((node) => node.path.slice(1));
    expect(names).toEqual(['B', 'b', 'é', '\uffee', '\u{1f600}']);
  });

  it('keeps a name that is not UTF-8 apart from others', () => {
    writeFileSync(Buffer.from(`${dir}/x\xff`, 'latin1'), 'ff');
    writeFileSync(Buffer.from(`${dir}/x\xfe`, 'latin1'), 'fe!');
    const view = new RootView([dir]);
    const nodes = view.list('/');
    expect(nodes.map((node) => node.size)).toEqual([3, 2]);
    expect(view.lookup(nodes[1]!.path)?.size).toBe(2);
    expect(view.xattrs(nodes[1]!)).toEqual([]);
  });

  it('reports a loop of links', () => {
    symlinkSync('b', join(dir, 'a'));
    symlinkSync('a', join(dir, 'b'));
    const view = new RootView([dir]);
    expect(view.lookup('/a')?.linkTarget).toBe('b');
    expect(() => view.lookup('/a/x')).toThrow('too many symbolic links while resolving "/a"');
  });

  it('never leaves its directories', () => {
    symlinkSync('/../../../../../../etc', join(dir, 'up'));
    symlinkSync('/etc/passwd', join(dir, 'abs'));
    const view = new RootView([dir]);
    expect(view.lookup('/up/passwd')).toBeUndefined();
    expect(view.lookup('/abs', { followLast: true })).toBeUndefined();
    expect(view.resolveParent('/up/passwd')).toBe('/etc/passwd');
    expect(view.lookup('/../../etc/passwd')).toBeUndefined();
  });

  it('resolves the existing part of a path and appends the rest', () => {
    mkdirSync(join(dir, 'real/sub'), { recursive: true });
    symlinkSync('/real', join(dir, 'link'));
    symlinkSync('sub/none', join(dir, 'real/dangling'));
    const view = new RootView([dir]);
    expect(view.resolveParent('/link/sub/x/../y/z')).toBe('/real/sub/y/z');
    expect(view.resolveParent('/link/dangling')).toBe('/real/dangling');
    expect(view.resolveParent('/link/dangling', { followLast: true })).toBe('/real/sub/none');
    expect(view.resolveParent('link/..')).toBe('/');
  });

  it('lists nothing on an empty stack and refuses to list a file', () => {
    expect(new RootView([]).list('/')).toEqual([]);
    expect(new RootView([]).lookup('/')).toBeUndefined();
    writeFileSync(join(dir, 'f'), '');
    expect(() => new RootView([dir]).list('/f')).toThrow('"/f" is not a directory');
  });

  it('sees new entries at once and replaced directories after forget', () => {
    mkdirSync(join(dir, 'd'));
    const lower = newDir('t');
    mkdirSync(join(lower, 'e'));
    writeFileSync(join(lower, 'e/low'), '');
    const view = new RootView([dir, lower]);
    expect(view.lookup('/d/new')).toBeUndefined();
    writeFileSync(join(dir, 'd/new'), '');
    expect(view.lookup('/d/new')?.type).toBe('file');
    expect(view.list('/e')).toHaveLength(1);
    mkdirSync(join(dir, 'e'));
    writeFileSync(join(dir, 'e/high'), '');
    view.forget('/e');
    expect(view.list('/e')).toHaveLength(2);
  });

  it('leaves out the xattrs of overlayfs and lists the others by name', () => {
    const path = join(dir, 'f');
    writeFileSync(path, '');
    setXattr(path, 'user.b', Buffer.from([0, 255]));
    setXattr(path, 'user.a', Buffer.from('1'));
    setXattr(path, 'user.overlay.origin', Buffer.from('x'));
    utimesSync(path, 1, 1);
    const view = new RootView([dir]);
    expect(view.xattrs(view.lookup('/f')!)).toEqual([
      ['user.a', Buffer.from('1')],
      ['user.b', Buffer.from([0, 255])],
    ]);
  });
});
