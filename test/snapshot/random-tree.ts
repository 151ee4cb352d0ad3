// Random layers for property tests.
import { lchownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { makeNode, setXattr } from '../../src/sys/libc.ts';

/** What a layer's directory holds. */
export type Entry =
  | { kind: 'file'; name: string; bytes: string; mode: number; uid: number }
  | { kind: 'link'; name: string; target: string }
  | { kind: 'whiteout'; name: string }
  | { kind: 'dir'; name: string; mode: number; isOpaque: boolean; entries: Entry[] };

/** Makes the entries on disk as overlayfs would keep them. */
export function writeEntries(dir: string, entries: readonly Entry[]): void {
  for (const entry of entries) {
    const path = join(dir, entry.name);
    if (entry.kind === 'file') {
      writeFileSync(path, entry.bytes, { mode: entry.mode });
      lchownSync(path, entry.uid, entry.uid);
    } else if (entry.kind === 'link') symlinkSync(entry.target, path);
    else if (entry.kind === 'whiteout') makeNode(path, 'char', 0, { major: 0, minor: 0 });
    else {
      mkdirSync(path, { mode: entry.mode });
      if (entry.isOpaque) setXattr(path, 'trusted.overlay.opaque', Buffer.from('y'));
      writeEntries(path, entry.entries);
    }
  }
}

/** Names that collide often and sort differently in UTF-16. */
export const randomName = fc.constantFrom('a', 'b', 'c', 'd-é', 'e\u{1f600}', '\uffee');
const target = fc
  .tuple(
    fc.constantFrom('', '/', '../', './', '/../'),
    fc.array(fc.oneof(randomName, fc.constant('..')), { maxLength: 3 }),
  )
  .map(([start, names]) => start + names.join('/') || '.');
/** Entries of one layer. */
export const randomEntries = fc.letrec<{ entry: Entry; list: Entry[] }>((tie) => ({
  entry: fc.oneof(
    { depthSize: 'small', maxDepth: 3 },
    fc.record({
      kind: fc.constant('file' as const),
      name: randomName,
      bytes: fc.string({ maxLength: 5 }),
      mode: fc.constantFrom(0o644, 0o755, 0o4711),
      uid: fc.constantFrom(0, 7),
    }),
    fc.record({ kind: fc.constant('link' as const), name: randomName, target }),
    fc.record({ kind: fc.constant('whiteout' as const), name: randomName }),
    fc.record({
      kind: fc.constant('dir' as const),
      name: randomName,
      mode: fc.constantFrom(0o755, 0o700, 0o1777),
      isOpaque: fc.boolean(),
      entries: tie('list'),
    }),
  ),
  list: fc.uniqueArray(tie('entry'), { maxLength: 4, selector: (entry) => entry.name }),
})).list;
