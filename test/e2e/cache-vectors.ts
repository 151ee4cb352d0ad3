// The corpus of caches that BuildKit exported, as build contexts and as something to compare exports with.
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

/** All of a cache that does not depend on times and on how layers are compressed. */
export function shapeOf(config: JSONValue, manifest: JSONValue): unknown {
  const heightOf = (layer: number): number => (layer === -1 ? 0 : 1 + heightOf(config.layers[layer].parent ?? 0));
  return {
    records: config.records.map((record: JSONValue) => ({
      ...record,
      ...(record.layers && { layers: record.layers.map(({ layer }: JSONValue) => ({ height: heightOf(layer) })) }),
    })),
    recordKeys: config.records.map((record: JSONValue) => Object.keys(record)),
    layerCount: config.layers.length,
    stacks: config.layers.map((_: JSONValue, layer: number) => heightOf(layer)).sort(),
    manifestKeys: Object.keys(manifest),
    mediaType: manifest.mediaType,
    configType: manifest.config.mediaType,
    descriptors: manifest.layers.map(({ mediaType, annotations, ...rest }: JSONValue) => ({
      mediaType,
      keys: [...Object.keys(rest), ...Object.keys(annotations)],
    })),
    isInOrder: manifest.layers.every(({ digest }: JSONValue, at: number) => digest === config.layers[at].blob),
    isCompact: !JSON.stringify(manifest).includes('\n'),
  };
}
