// Random edits that keep size and modification time, between real builds: every built file has the bytes of the context.
// TSBUILD_STALE_EDITS makes it longer.
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Random, seededRandom } from '../seeded-random.ts';
import { describeRoot, makeBase, outputOf } from './harness.ts';

const base = makeBase();
const EDITS = Number(process.env['TSBUILD_STALE_EDITS'] ?? 1500);
const FILES = 200;
const LINKS = 6;
const SIZE = 24;
/** In each build some files are left alone: what is known of them must still be found. */
const MOST_EDITS = 160;

const DOCKERFILE = `FROM base AS mounted
RUN --mount=type=bind,target=/context cat /context/f0 /context/link0 > /mounted
FROM scratch
COPY . /all/
COPY f1 link1 /some/
COPY sub/* /matched/
COPY --from=mounted /mounted /mounted
`;

describeRoot('files that change behind their size and time', {}, (caller) => {
  it(`are never stale in ${EDITS} edits`, { timeout: 60_000 + EDITS * 100 }, () => {
    const random = seededRandom(20_261_121);
    const context = join(caller.home, 'context');
    mkdirSync(join(context, 'sub'), { recursive: true });
    writeFileSync(join(context, 'Dockerfile'), DOCKERFILE);
    for (const name of names()) writeFileSync(join(context, name), bytesOf(random));
    for (let n = 0; n < LINKS; n += 1) symlinkSync(`f${n}`, join(context, `link${n}`));
    const stale: string[] = [];
    let edits = 0;
    for (let build = 0; edits < EDITS; build += 1) {
      const made = Array.from({ length: 1 + random(MOST_EDITS) }, () => change(context, random));
      edits += made.length;
      const out = join(caller.home, 'out');
      rmSync(out, { recursive: true, force: true });
      const args = ['build', '-q', '--build-context', `base=oci-layout://${base}`, '-o', out, context];
      const result = caller.tsbuild(args);
      expect(result.status, outputOf(result)).toBe(0);
      for (const wrong of differences(context, out)) stale.push(`build ${build}: ${wrong} after ${made.join(', ')}`);
    }
    expect(stale).toEqual([]);
  });
});

function names(): readonly string[] {
  return Array.from({ length: FILES }, (_, n) => (n % 3 === 2 ? `sub/f${n}` : `f${n}`));
}

/** Paths of the output that do not have the bytes of the context now. */
function differences(context: string, out: string): readonly string[] {
  const read = (path: string): string => readFileSync(join(context, path), 'utf8');
  const wanted = new Map<string, string>([
    ['mounted', read('f0') + read('link0')],
    ['some/f1', read('f1')],
    ['some/link1', read('link1')],
  ]);
  for (const name of names()) {
    wanted.set(`all/${name}`, read(name));
    if (name.startsWith('sub/')) wanted.set(`matched/${name.slice('sub/'.length)}`, read(name));
  }
  const wrong = [...wanted].filter(([path, bytes]) => readFileSync(join(out, path), 'utf8') !== bytes);
  const links = Array.from({ length: LINKS }, (_, n) => `link${n}`);
  const wrongLinks = links.filter((name) => readlinkSync(join(context, name)) !== readlinkSync(join(out, 'all', name)));
  return [...wrong.map(([path]) => path), ...wrongLinks];
}

/** One edit; its name. */
function change(context: string, random: Random): string {
  const pick = (): string => join(context, names()[random(FILES)] ?? '');
  const [path, second] = [pick(), pick()];
  const aside = join(context, '..', 'aside');
  const { atimeMs, mtimeMs } = lstatSync(path);
  const keepTime = (of = path): void => utimesSync(of, atimeMs / 1000, mtimeMs / 1000);
  const write = (to = path): void => writeFileSync(to, bytesOf(random), to === path ? { flag: 'r+' } : {});
  const link = (to: string): void => {
    const at = join(context, `link${random(LINKS)}`);
    symlinkSync(to, aside);
    renameSync(aside, at);
  };
  const edits: Readonly<Record<string, () => void>> = {
    'in place': () => write(),
    'in place, time kept': () => [write(), keepTime()],
    'in place, touch -d @0': () => [write(), utimesSync(path, 0, 0)],
    'renamed over': () => [write(aside), renameSync(aside, path)],
    'renamed over, time kept': () => [write(aside), keepTime(aside), renameSync(aside, path)],
    'renamed over, touch -d @0': () => [write(aside), utimesSync(aside, 0, 0), renameSync(aside, path)],
    'removed and written': () => [rmSync(path), writeFileSync(path, bytesOf(random)), keepTime()],
    'twice in one tick': () => [write(), write(), keepTime()],
    'swapped, times alike': () => {
      keepTime(second);
      if (second === path) return;
      renameSync(path, aside);
      renameSync(second, path);
      renameSync(aside, second);
    },
    'a hard link to another': () => {
      if (second === path) return;
      linkSync(second, aside);
      // A rename between two names of one inode does nothing.
      if (lstatSync(second).ino === lstatSync(path).ino) rmSync(aside);
      else renameSync(aside, path);
    },
    'a hard link no more': () => [rmSync(path), writeFileSync(path, bytesOf(random)), keepTime()],
    'link led elsewhere, name as long': () => link(`f${['0', '1', '3', '4', '6', '7', '9'][random(7)]}`),
  };
  const entries = Object.entries(edits);
  const [name, edit] = entries[random(entries.length)] ?? ['', () => undefined];
  edit();
  return name;
}

function bytesOf(random: Random): string {
  return `${random(1_000_000)} ${random(1_000_000)}`.padStart(SIZE, '0');
}
