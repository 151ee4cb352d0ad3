// Several images as one: an index that names the manifest of each platform.
import type { Descriptor } from './descriptor.ts';
import { MEDIA_TYPES } from './descriptor.ts';
import type { WrittenImage } from './image-writer.ts';
import type { ImageRooms } from './layer-blob-writer.ts';
import { encodeIndex } from './manifest-json.ts';

/** An index that is in the content store with all it leads to. */
export interface WrittenIndex {
  readonly indexDescriptor: Descriptor;
  /** In the order of the index. */
  readonly images: readonly WrittenImage[];
}

/** Puts the index into the content store. */
export function writeIndex({ content }: Pick<ImageRooms, 'content'>, images: readonly WrittenImage[]): WrittenIndex {
  const manifests = images.map(({ manifestDescriptor }) => manifestDescriptor);
  const bytes = encodeIndex({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests });
  const digest = content.put(bytes);
  return { indexDescriptor: { mediaType: MEDIA_TYPES.ociIndex, digest, size: bytes.length }, images };
}
