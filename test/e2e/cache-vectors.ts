// The corpus of caches that BuildKit exported, as build contexts and as layouts.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SHARED } from '../needs.ts';

export const VECTORS = join(SHARED, 'corpora', 'cache-vectors');

// biome-ignore lint/suspicious/noExplicitAny: the shape of a foreign JSON file
type JSONValue = any;

/** Writes the context the caches were built from, with the Dockerfile of the set, and a secret beside it. */
export function writeVectorContext(directory: string, set: string): string {
  const context = join(directory, `${set}-context`);
  mkdirSync(context, { recursive: true });
  cpSync(join(VECTORS, 'ctx'), context, { recursive: true });
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', context]);
  // A link in the original; copies of the corpus may have lost it.
  rmSync(join(context, 'dir', 'l'), { force: true });
  symlinkSync('a', join(context, 'dir', 'l'));
  const { layout, manifest } = readLayout(join(VECTORS, 'set1', 'cache'));
  const first = manifest.layers.reduce((a: JSONValue, b: JSONValue) => (a.size > b.size ? a : b));
  const shell = execFileSync('tar', ['-xzOf', layout(first.digest), 'bin/sh'], { maxBuffer: 1 << 28 });
  writeFileSync(join(context, 'busybox'), shell);
  chmodSync(join(context, 'busybox'), 0o755);
  cpSync(join(VECTORS, set, 'Dockerfile'), join(context, 'Dockerfile'));
  writeFileSync(join(directory, 'secret'), 'secret');
  return context;
}

/** A cache as an OCI layout: its manifest or index, its config, and where blobs lie. */
export function readLayout(directory: string): {
  readonly layout: (digest: string) => string;
  readonly manifest: JSONValue;
  readonly config: JSONValue;
} {
  const layout = (digest: string): string => join(directory, 'blobs', 'sha256', digest.slice(7));
  const read = (digest: string): JSONValue => JSON.parse(readFileSync(layout(digest), 'utf8'));
  const index = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8'));
  const manifest = read(index.manifests[0].digest);
  return { layout, manifest, config: read((manifest.config ?? manifest.manifests.at(-1)).digest) };
}
