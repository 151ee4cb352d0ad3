// Run as `unshare -m node overlay-reader.ts`: mounts each stack given on stdin with the kernel's overlayfs and prints what
// a process with the mount as its root sees.
import { lstatSync, openSync, readdirSync, readFileSync, readlinkSync, realpathSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';

export interface OverlayQuestion {
  readonly dirs: readonly string[];
  readonly mountPoint: string;
  readonly options: string;
  readonly probes: readonly string[];
}

export interface OverlayAnswer {
  readonly entries: readonly string[];
  readonly probes: readonly string[];
}

/** One entry in one line, so that two readers can be compared. */
export function describeEntry(entry: {
  path: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeMs: number;
  linkTarget: string;
}): string {
  const { path, mode, uid, gid, size, mtimeMs, linkTarget } = entry;
  return [path, mode.toString(8), uid, gid, size, mtimeMs, linkTarget].join(' | ');
}

function walk(path: string, into: string[]): void {
  for (const name of readdirSync(path).sort()) {
    const child = path === '/' ? `/${name}` : `${path}/${name}`;
    const stats = lstatSync(child, { throwIfNoEntry: false });
    if (stats === undefined) continue;
    const linkTarget = stats.isSymbolicLink() ? readlinkSync(child) : '';
    const size = stats.isFile() ? stats.size : 0;
    const { mode, uid, gid, mtimeMs } = stats;
    into.push(describeEntry({ path: child, mode: mode & 0o7777, uid, gid, size, mtimeMs, linkTarget }));
    if (stats.isDirectory()) walk(child, into);
  }
}

function probe(path: string): string {
  try {
    const real = realpathSync.native(path);
    const stats = lstatSync(real);
    return stats.isFile() ? `${real} ${readFileSync(real, 'utf8')}` : real;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'error';
  }
}

function main(): void {
  const questions = JSON.parse(readFileSync(0, 'utf8')) as OverlayQuestion[];
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const libc = koffi.load('libc.so.6');
  const mount = libc.func('int mount(const char *, const char *, const char *, unsigned long, const char *)');
  const chroot = libc.func('int chroot(const char *)');
  const fchdir = libc.func('int fchdir(int)');
  const root = openSync('/', 'r');
  const answers: OverlayAnswer[] = questions.map(({ dirs, mountPoint, options, probes }) => {
    const data = `lowerdir=${dirs.join(':')},${options}`;
    if (mount('overlay', mountPoint, 'overlay', 0, data) !== 0) throw new Error(`mount failed: ${data}`);
    chroot(mountPoint);
    process.chdir('/');
    const entries: string[] = [];
    walk('/', entries);
    const answer = { entries, probes: probes.map(probe) };
    fchdir(root);
    chroot('.');
    return answer;
  });
  writeSync(1, JSON.stringify(answers));
}

if (process.argv[2] === 'read') main();
