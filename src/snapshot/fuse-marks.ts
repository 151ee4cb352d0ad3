// What fuse-overlayfs leaves in an upper directory, in the kernel's form: its own attributes go, and the files it marks
// deletions and opaque directories with become whiteouts and the attribute.
import { lstatSync, unlinkSync } from 'node:fs';
import { listXattrs, makeNode, removeXattr, setTimesNs, setXattr } from '../sys/libc.ts';
import { readNames, toFsPath } from '../sys/path-bytes.ts';
import type { Slices } from '../sys/turns.ts';
import { opaqueXattr } from './root-view.ts';
import { OPAQUE_NAME, WHITEOUT_PREFIX } from './whiteout-names.ts';

const OWN_XATTR = 'user.fuseoverlayfs.';
const OPAQUE = ['user.fuseoverlayfs.opaque', opaqueXattr(true), opaqueXattr(false)];
const NO_DEVICE = { major: 0, minor: 0 } as const;

/** Translates all that is in a directory, whose times stay as they are. */
export function* translateMarks(directory: string, isRootless: boolean): Slices<void> {
  const { atimeNs, mtimeNs } = lstatSync(toFsPath(directory), { bigint: true });
  const names = readNames(directory);
  const there = new Set(names);
  let isOpaque = dropOwnXattrs(directory);
  let isChanged = false;
  for (const name of names) {
    const path = `${directory}/${name}`;
    const stats = lstatSync(toFsPath(path));
    if (name.startsWith(WHITEOUT_PREFIX)) {
      unlinkSync(toFsPath(path));
      isChanged = true;
      const hidden = name.slice(WHITEOUT_PREFIX.length);
      if (name === OPAQUE_NAME) isOpaque = true;
      // It hides its own names from others as well, with whiteouts.
      else if (stats.isFile() && !there.has(hidden)) makeNode(`${directory}/${hidden}`, 'char', 0, NO_DEVICE);
      continue;
    }
    if (stats.isDirectory()) yield* translateMarks(path, isRootless);
    else if (stats.isFile()) dropOwnXattrs(path);
    yield undefined;
  }
  if (isOpaque) setXattr(directory, opaqueXattr(isRootless), Buffer.from('y'));
  if (isChanged) setTimesNs(directory, atimeNs, mtimeNs);
}

/** True when one of them was the mark of an opaque directory. */
function dropOwnXattrs(path: string): boolean {
  const names = listXattrs(path);
  for (const name of names) if (name.startsWith(OWN_XATTR)) removeXattr(path, name);
  return names.some((name) => OPAQUE.includes(name));
}
