// Random edits that keep a file's size and time, one after the other within ticks of the clock: the digest is always that
// of the bytes that are there now.
import {
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ContextTree } from '../../src/ops/build-context.ts';
import { contentDigestOf } from '../../src/ops/content-hash.ts';
import { type FileDigestCache, SourceDigests } from '../../src/ops/source-digests.ts';
import { FileDigester } from '../../src/ops/source-file.ts';
import { atOnce } from '../../src/sys/turns.ts';
import { type Random, seededRandom } from '../seeded-random.ts';
import { storeRig } from '../store/store-rig.ts';

const EDITS = 10_000;
const FILES = 12;
const SIZE = 16;
/** Of every so many edits the clock is let run on, so that digests are remembered at all. */
const PAUSE_EVERY = 250;
const PAUSE_MS = 40;

describe('the digest of a build context', () => {
  const rig = storeRig();

  it(`is never that of former bytes in ${EDITS} edits that keep size and time`, { timeout: 180_000 }, () => {
    const root = mkdtempSync(join(tmpdir(), 'tsbuild-stale-'));
    const now = (): number => performance.timeOrigin + performance.now();
    const store = rig.open(undefined, { now });
    const random = seededRandom(20_261_121);
    for (let n = 0; n < FILES; n += 1) writeFileSync(join(root, `f${n}`), bytesOf(random));
    mkdirSync(join(root, 'other'));
    symlinkSync('f0', join(root, 'link'));
    const digest = (cache?: FileDigestCache): string => {
      const tree = new ContextTree(root);
      const options = { digester: new FileDigester(), now, hasRootHeader: false, ...(cache && { cache }) };
      const digests = new SourceDigests(tree, options);
      const selectors = [
        { path: '/', wildcard: false, followLinks: false },
        { path: '/link', wildcard: false, followLinks: true },
      ];
      const found = atOnce(contentDigestOf(tree, selectors, digests.inSlices));
      digests.flush();
      return found;
    };
    let hits = 0;
    const counted = (): FileDigestCache => {
      const cache = store.statCache.open(root);
      return {
        get: (path, stat) => {
          const known = cache.get(path, stat);
          if (known !== undefined) hits += 1;
          return known;
        },
        put: (path, stat, value, atMs) => cache.put(path, stat, value, atMs),
        flush: () => cache.flush(),
      };
    };
    const stale: string[] = [];
    for (let edit = 0; edit < EDITS; edit += 1) {
      const what = change(root, random);
      if (edit % PAUSE_EVERY === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
      if (digest(counted()) !== digest()) stale.push(`${edit}: ${what}`);
    }
    rmSync(root, { recursive: true });
    expect(stale).toEqual([]);
    // Otherwise nothing was shown: after a pause all files are remembered, and an edit has one or two of them forgotten.
    expect(hits).toBeGreaterThan((EDITS / PAUSE_EVERY) * FILES);
  });
});

/** One edit; its name. */
function change(root: string, random: Random): string {
  const path = join(root, `f${random(FILES)}`);
  const other = join(root, 'other', 'new');
  const { atimeMs, mtimeMs } = lstatSync(path);
  const keepTime = (): void => utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
  const edits: readonly (readonly [string, () => void])[] = [
    ['in place', () => writeFileSync(path, bytesOf(random), { flag: 'r+' })],
    ['in place, time kept', () => [writeFileSync(path, bytesOf(random), { flag: 'r+' }), keepTime()]],
    [
      'in place, time of long ago',
      () => [writeFileSync(path, bytesOf(random), { flag: 'r+' }), utimesSync(path, 0, 0)],
    ],
    ['renamed over', () => [writeFileSync(other, bytesOf(random)), renameSync(other, path)]],
    [
      'renamed over, time kept',
      () => {
        writeFileSync(other, bytesOf(random));
        utimesSync(other, atimeMs / 1000, mtimeMs / 1000);
        renameSync(other, path);
      },
    ],
    ['removed and written', () => [rmSync(path), writeFileSync(path, bytesOf(random)), keepTime()]],
    [
      'swapped with another, times kept',
      () => {
        const second = join(root, `f${random(FILES)}`);
        utimesSync(second, atimeMs / 1000, mtimeMs / 1000);
        if (second === path) return;
        renameSync(path, other);
        renameSync(second, path);
        renameSync(other, second);
      },
    ],
    [
      'a hard link to another',
      () => {
        const second = join(root, `f${random(FILES)}`);
        if (second === path) return;
        rmSync(path);
        linkSync(second, path);
      },
    ],
    ['copied over', () => [copyFileSync(join(root, `f${random(FILES)}`), other), renameSync(other, path), keepTime()]],
    [
      'link led elsewhere',
      () => {
        rmSync(join(root, 'link'));
        symlinkSync(`f${random(FILES)}`, join(root, 'link'));
      },
    ],
    [
      'twice in one tick',
      () => [writeFileSync(path, bytesOf(random)), writeFileSync(path, bytesOf(random)), keepTime()],
    ],
  ];
  const [name, run] = edits[random(edits.length)] ?? ['', () => undefined];
  run();
  return name;
}

function bytesOf(random: Random): string {
  return String(random(1_000_000)).padStart(SIZE, '0');
}
