// The store: that it opens, that there is space, and on request that its blobs are what their names say.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { openStore, type Store } from '../store/open-store.ts';
import { type Check, checkOf } from './check.ts';

/** Opens the store; the caller closes it. */
export function checkStore(root: string, now: () => number): { readonly check: Check; readonly store?: Store } {
  const check = checkOf('store');
  try {
    const store = openStore(root, { now });
    return { check: check.ok(root), store };
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    return { check: check.blocked(error.message, error.hint ?? 'name another directory with TSBUILD_ROOT') };
  }
}

const MB = 1024 * 1024;
const LEAST_BYTES = 64 * MB;
const COMFORTABLE_BYTES = 2048 * MB;

/** Space and inodes where the store is or will be. */
export function checkSpace(root: string): Check {
  const check = checkOf('disk space');
  let dir = root;
  while (!existsSync(dir) && dir !== dirname(dir)) dir = dirname(dir);
  const { bavail, bsize, files, ffree } = statfsSync(dir);
  const free = bavail * bsize;
  const fact = `${sizeText(free)} free for ${root}`;
  const fix = 'free some space there, or name a directory on another disk with TSBUILD_ROOT';
  if (files > 0 && ffree === 0) return check.blocked(`no inodes left for ${root}`, fix);
  if (free < LEAST_BYTES) return check.blocked(`only ${fact}`, fix);
  return free < COMFORTABLE_BYTES ? check.warning(`only ${fact}`, fix) : check.ok(fact);
}

/** Reads every blob. */
export async function checkBlobs({ root }: Store): Promise<Check> {
  const check = checkOf('blobs');
  const dir = join(root, 'blobs', 'sha256');
  const damaged: string[] = [];
  let [count, bytes] = [0, 0];
  for (const name of readdirSync(dir)
    .filter((entry) => /^[0-9a-f]{64}$/.test(entry))
    .sort()) {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(join(dir, name))) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    count++;
    if (hash.digest('hex') !== name) damaged.push(name);
  }
  if (damaged.length === 0) return check.ok(`${count} blobs, ${sizeText(bytes)}: all are what their digests say`);
  return check.blocked(
    `${damaged.length} of ${count} blobs are not what their digests say: ${damaged.map((name) => `sha256:${name}`).join(', ')}`,
    `remove them, they are fetched or made again: rm ${damaged.map((name) => join(dir, name)).join(' ')}`,
  );
}

/** Whole MB, or GB. */
export function sizeText(bytes: number): string {
  return bytes < 1024 * MB ? `${Math.floor(bytes / MB)} MB` : `${(bytes / (1024 * MB)).toFixed(1)} GB`;
}
