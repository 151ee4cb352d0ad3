// Somebody else swaps directories of the context for links, or files for pipes, while the build reads it.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ContextTree } from '../../src/ops/build-context.ts';
import { FileDigester, openSource, openWithLook } from '../../src/ops/source-file.ts';

const place = mkdtempSync(join(tmpdir(), 'tsbuild-swapped-'));
const outside = join(place, 'outside');
mkdirSync(join(outside, 'deep'), { recursive: true });
for (const name of ['file', 'deep/file']) writeFileSync(join(outside, name), 'secret');
afterAll(() => rmSync(place, { recursive: true }));

function context(): string {
  const root = mkdtempSync(join(place, 'context-'));
  mkdirSync(join(root, 'd/deep'), { recursive: true });
  for (const name of ['d/file', 'd/deep/file']) writeFileSync(join(root, name), 'public');
  return root;
}

function swap(root: string, name: string, target: string): void {
  renameSync(join(root, name), join(root, `${name}.gone`));
  symlinkSync(target, join(root, name));
}

it.each(['/d/file', '/d/deep/file'])('reads no byte of %s through a directory that became a link', (path) => {
  const root = context();
  const tree = new ContextTree(root);
  const node = tree.lookup(path);
  swap(root, 'd', outside);
  if (node === undefined) throw new Error('not there');
  const changed = `"${path}" changed while the build was reading it`;
  for (const open of [openSource, openWithLook]) expect(() => open(node)).toThrow(changed);
  expect(() => new FileDigester().digest(tree, node)).toThrow(changed);
});

it('does not wait for a pipe that took the place of a file', () => {
  const root = context();
  const tree = new ContextTree(root);
  const node = tree.lookup('/d/file');
  rmSync(join(root, 'd/file'));
  execFileSync('mkfifo', [join(root, 'd/file')]);
  if (node === undefined) throw new Error('not there');
  expect(() => new FileDigester().digest(tree, node)).toThrow('"/d/file" changed while the build was reading it');
});

it('reads a context that is named by a link', () => {
  const root = context();
  symlinkSync(root, join(place, 'named'));
  const tree = new ContextTree(join(place, 'named'));
  const node = tree.lookup('/d/deep/file');
  if (node === undefined) throw new Error('not there');
  for (const open of [openSource, openWithLook]) closeSync(open(node));
  expect(new FileDigester().digest(tree, node).isStable).toBe(true);
});
