// The tar inside a layer's blob.
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import type { ContentStore } from '../content/content-store.ts';
import type { LayerBlob } from '../store/layer-blobs.ts';

/** Writes a file of its own. */
export async function writeTar(content: ContentStore, { digest, mediaType }: LayerBlob, path: string): Promise<void> {
  const source = content.open(digest);
  const target = createWriteStream(path, { flags: 'wx' });
  if (/gzip$/.test(mediaType)) await pipeline(source, createGunzip(), target);
  else if (/zstd$/.test(mediaType)) await pipeline(source, createZstdDecompress(), target);
  else await pipeline(source, target);
}
