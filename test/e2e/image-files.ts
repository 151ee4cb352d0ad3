// What the layers of an image add to those of its base, as a line of text for each path.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { readTar, type TarReadEntry } from '../../src/diff/tar-reader.ts';

interface Descriptor {
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Reads uncompressed layers of the image of that tag in an OCI layout, but for the first `baseLayers`. Times are left out. */
export async function addedFiles(
  layout: string,
  tag: string,
  baseLayers: number,
): Promise<ReadonlyMap<string, string>> {
  const blob = (digest: string): Buffer => readFileSync(join(layout, 'blobs', digest.replace(':', '/')));
  const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: Descriptor[] };
  const image = manifests.find(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === tag);
  if (image === undefined) throw new Error(`${layout} has no image ${tag}`);
  const { layers } = JSON.parse(blob(image.digest).toString()) as { layers: Descriptor[] };
  const lines = new Map<string, string>();
  for (const { digest } of layers.slice(baseLayers)) await addLayer(lines, blob(digest));
  return new Map([...lines].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** How many layers the first image of a layout has. */
export function layerCount(layout: string): number {
  const read = (path: string) => JSON.parse(readFileSync(join(layout, path), 'utf8'));
  const { manifests } = read('index.json') as { manifests: Descriptor[] };
  return (read(`blobs/${(manifests[0]?.digest ?? '').replace(':', '/')}`) as { layers: unknown[] }).layers.length;
}

async function addLayer(lines: Map<string, string>, tar: Buffer): Promise<void> {
  await readTar(one(tar), (entry) => {
    const path = posix.join('/', entry.name).replace(/(.)\/$/, '$1');
    const name = posix.basename(path);
    if (name.startsWith('.wh.')) {
      const removed = posix.join(posix.dirname(path), name.slice(4));
      for (const known of lines.keys()) if (known === removed || known.startsWith(`${removed}/`)) lines.delete(known);
      lines.set(removed, 'removed');
      return undefined;
    }
    const hash = createHash('sha256');
    let size = 0;
    return {
      write: (bytes) => {
        size += bytes.length;
        hash.update(bytes);
      },
      end: () => void lines.set(path, lineOf(entry, entry.type === 'file' ? `${size} ${hash.digest('hex')}` : '')),
    };
  });
}

function lineOf({ type, mode, uid, gid, linkName, rdev, xattrs }: TarReadEntry, content: string): string {
  const parts = [type, mode.toString(8).padStart(4, '0'), `${uid}:${gid}`];
  for (const [name, value] of [...xattrs].sort()) parts.push(`${name}=${value.toString('hex')}`);
  if (type === 'symlink' || type === 'link') parts.push(`-> ${linkName}`);
  if (type === 'char' || type === 'block') parts.push(`${rdev?.major},${rdev?.minor}`);
  if (content !== '') parts.push(content);
  return parts.join(' ');
}

async function* one(bytes: Buffer): AsyncIterable<Uint8Array> {
  yield bytes;
}
