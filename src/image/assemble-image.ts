// From the solved root filesystem to an image: its layers in order, their diffIDs, and the config that names them.
import type { Conversion } from '../../frontend/convert-options.ts';
import type { ImageConfig } from '../../frontend/image-config.ts';
import type { Digest } from '../../solver/digest.ts';
import type { Result } from '../../solver/op-runner.ts';
import type { LayerDigests } from './layer-digests.ts';
import type { ImageLayer } from './image-store.ts';

/** An image that nobody has written out yet. */
export interface AssembledImage {
  readonly config: ImageConfig;
  /** Oldest first. */
  readonly layers: readonly ImageLayer[];
}

export interface AssembleOptions {
  readonly conversion: Conversion;
  readonly result: Result | undefined;
  /** Oldest first, from the base's first layer to the result itself. */
  readonly layers: LayerDigests;
  readonly nowMs: number;
}

/** Waits for the layers' digests and completes the config: diffIDs, creation time, and one history entry for each layer. */
export async function assembleImage({ conversion, result, layers, nowMs }: AssembleOptions): Promise<AssembledImage> {
  const chain = result?.id === undefined ? [] : await layers.ofChain(result.id);
  const created = new Date(conversion.epochMs ?? nowMs).toISOString().replace(/\.000Z$/, 'Z');
  const diffIDs = chain.map((layer) => layer.diffID);
  return { config: completeConfig(conversion.config, diffIDs, created), layers: chain };
}

function completeConfig(config: ImageConfig, diffIDs: readonly Digest[], created: string): ImageConfig {
  const history = config.history.map((entry) => ({ ...entry, created: entry.created ?? created }));
  const named = history.filter((entry) => entry.empty_layer !== true).length;
  // A base image may come with less history than layers; every layer gets an entry all the same.
  const missing = Array.from({ length: Math.max(0, diffIDs.length - named) }, () => ({ created, comment: 'buildkit.exporter.image.v0' }));
  return { ...config, created, rootfs: { type: 'layers', diff_ids: diffIDs }, history: [...missing, ...history] };
}
