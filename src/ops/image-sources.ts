// Base images as the op runner asks for them, over the resolver and the puller.

import type { Digest } from '../../solver/digest.ts';
import type { SourceOp } from '../../solver/op.ts';
import type { RunContext } from '../../solver/op-runner.ts';
import { imageSourceDigest, layersSourceDigest } from '../../solver/source-key.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { ImagePuller } from '../image/puller.ts';
import type { StoreImageResolver } from '../image/resolver.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';

/** Images behind source ops. */
export interface ImageSources {
  /** The digests by which the cache knows the image: that of what its name led to, then its layers'. No layer is fetched. */
  cacheDigests(op: SourceOp): readonly [Digest, ...Digest[]];
  /** The snapshot of the image's top layer, fetched and unpacked as needed; undefined for an image without layers. */
  pull(vertex: Vertex, op: SourceOp, context: RunContext): Promise<SnapshotName | undefined>;
}

interface ImageSourcesPorts {
  readonly resolver: Pick<StoreImageResolver, 'sourceOf'>;
  readonly puller: Pick<ImagePuller, 'pull'>;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
}

/** The images that the build's resolver has resolved. */
export function createImageSources({ resolver, puller, now }: ImageSourcesPorts): ImageSources {
  return {
    cacheDigests: (op) => {
      const source = resolver.sourceOf(op.identifier, op.platform);
      // An index, where the name leads to one: BuildKit does not take the manifest of the platform here.
      const root = imageSourceDigest(source.digest, source.platform);
      const diffIDs = source.layers.map(({ diffID }) => diffID);
      return diffIDs.length === 0 ? [root] : [root, layersSourceDigest(diffIDs)];
    },
    pull: async ({ digest: vertex }, op, { signal, emit }) =>
      await puller.pull(resolver.sourceOf(op.identifier, op.platform), {
        signal,
        emitProgress: (progress) => emit({ type: 'progress', unit: 'bytes', vertex, timeMs: now(), ...progress }),
        warn: (message) => emit({ type: 'warning', message, vertex, timeMs: now() }),
      }),
  };
}
