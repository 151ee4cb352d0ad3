// An in-memory ImageResolver: images by full name, and the names it was asked for.

import type { ContainerConfig, HistoryEntry, ImageConfig } from '../../frontend/image-config.ts';
import type { ImageResolver, ResolvedImage } from '../../frontend/image-resolver.ts';
import { digestOf } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Platform } from '../../solver/op.ts';

export const LINUX_AMD64: Platform = { os: 'linux', architecture: 'amd64' };

export interface FakeImage {
  readonly config?: ContainerConfig;
  readonly history?: readonly HistoryEntry[];
  readonly layerCount?: number;
  readonly platform?: Platform;
}

export class FakeImageResolver implements ImageResolver {
  readonly asked: string[] = [];
  readonly #images: Readonly<Record<string, FakeImage>>;

  constructor(images: Readonly<Record<string, FakeImage>> = {}) {
    this.#images = images;
  }

  async resolveImage(reference: string): Promise<ResolvedImage> {
    this.asked.push(reference);
    const image = this.#images[reference];
    if (image === undefined) throw new TsbuildError('TSB_IMAGE_NOT_FOUND', `${reference}: not found`);
    const digest = digestOf(reference);
    const platform = image.platform ?? LINUX_AMD64;
    return {
      reference: `${reference}@${digest}`,
      identifier: `docker-image://${reference}@${digest}`,
      attrs: {},
      digest,
      platform,
      config: imageConfig(reference, image, platform),
    };
  }
}

function imageConfig(reference: string, image: FakeImage, { os, architecture }: Platform): ImageConfig {
  const layers = Array.from({ length: image.layerCount ?? 1 }, (_unused, n) => digestOf(`${reference} layer ${n}`));
  return {
    os,
    architecture,
    created: '2024-01-02T03:04:05Z',
    config: image.config ?? {},
    rootfs: { type: 'layers', diff_ids: layers },
    history: image.history ?? layers.map((_layer, n) => ({ created_by: `layer ${n}` })),
  };
}
