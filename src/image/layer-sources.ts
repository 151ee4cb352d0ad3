// The blob of a layer for somebody who sends it elsewhere: described now, its bytes brought here only when they are needed,
// and with the repositories that may have it already.
import type { Digest } from '../../solver/digest.ts';
import { parseReference } from '../../frontend/reference.ts';
import type { BlobSource } from '../registry/push.ts';
import type { ImageLayer, ImageStore } from './image-store.ts';
import { ensureLayerBlob, type ImageRooms, type LayerBlobOptions, ociLayerType } from './layer-blob-writer.ts';
import type { LazyFetchOptions, LazyLayers } from './lazy-layers.ts';

/** Where layers are, here and elsewhere. */
export interface LayerSourcePorts {
  readonly rooms: ImageRooms;
  readonly images: Pick<ImageStore, 'list'>;
  readonly lazyLayers: LazyLayers;
}

/** A layer's blob. */
export interface LayerSource extends BlobSource {
  /** Brings it into the content store. */
  readonly fetch: () => Promise<void>;
}

/** The layers' blobs, in their order; those that must be made are compressed one after another. Throws as ensureLayerBlob does. */
export async function layerSources(
  ports: LayerSourcePorts,
  layers: readonly ImageLayer[],
  options: LayerBlobOptions & { readonly domain?: string },
): Promise<readonly LayerSource[]> {
  const { domain } = options;
  const pulled = domain === undefined ? new Map<Digest, readonly string[]>() : repositoriesOf(ports.images, domain);
  const sources: LayerSource[] = [];
  for (const layer of layers) {
    options.signal?.throwIfAborted();
    sources.push(await layerSource(ports, layer, { ...options, mountFrom: pulled.get(layer.diffID) ?? [] }));
  }
  return sources;
}

async function layerSource(
  { rooms, lazyLayers }: LayerSourcePorts,
  layer: ImageLayer,
  options: LayerBlobOptions & { readonly domain?: string; readonly mountFrom: readonly string[] },
): Promise<LayerSource> {
  const { domain, mountFrom, isForced = false, signal } = options;
  const fetchOptions: LazyFetchOptions = signal === undefined ? {} : { signal };
  const lazy = lazyLayers.find(layer.snapshot);
  if (lazy === undefined || isForced) {
    if (lazy !== undefined) await lazyLayers.fetchBlob(layer.snapshot, fetchOptions);
    const descriptor = await ensureLayerBlob(rooms, layer, options);
    const open = async (): Promise<AsyncIterable<Uint8Array>> => rooms.content.open(descriptor.digest);
    return { descriptor, open, fetch: async () => undefined, mountFrom };
  }
  const { mediaType, digest, size } = lazy.blob;
  const { place } = lazy;
  const isNear = place.kind === 'registry' && place.domain === domain;
  const fetch = (): Promise<void> => lazyLayers.fetchBlob(layer.snapshot, fetchOptions);
  return {
    descriptor: { mediaType: ociLayerType(mediaType), digest, size },
    open: async () => {
      await fetch();
      return rooms.content.open(digest);
    },
    fetch,
    mountFrom: [...new Set([...(isNear ? [place.path] : []), ...mountFrom])],
  };
}

/** For each layer of an image that was pulled from that registry, the repositories it came from. */
function repositoriesOf(images: Pick<ImageStore, 'list'>, domain: string): ReadonlyMap<Digest, readonly string[]> {
  const found = new Map<Digest, readonly string[]>();
  for (const { isBuilt, tags, layers } of images.list()) {
    if (isBuilt) continue;
    const paths = tags
      .map(({ reference }) => parseReference(reference))
      .filter((reference) => reference.domain === domain)
      .map(({ path }) => path);
    if (paths.length === 0) continue;
    for (const { diffID } of layers) found.set(diffID, [...new Set([...(found.get(diffID) ?? []), ...paths])]);
  }
  return found;
}
