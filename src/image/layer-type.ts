// Which layers can be unpacked.
import { TsbuildError } from '../../solver/errors.ts';
import { type Descriptor, MEDIA_TYPES } from './descriptor.ts';

const LAYER_TYPES: ReadonlySet<string> = new Set([
  MEDIA_TYPES.ociLayer,
  MEDIA_TYPES.ociLayerGzip,
  MEDIA_TYPES.ociLayerZstd,
  MEDIA_TYPES.dockerLayer,
  MEDIA_TYPES.dockerLayerGzip,
  'application/vnd.docker.image.rootfs.diff.tar.zstd',
]);

/** Throws TSB_IMAGE_FOREIGN_LAYER and TSB_IMAGE_UNSUPPORTED_LAYER; `reference` is for messages. */
export function checkLayerType({ mediaType, digest }: Descriptor, reference: string): void {
  if (LAYER_TYPES.has(mediaType)) return;
  if (/nondistributable|\.foreign\./.test(mediaType)) {
    throw new TsbuildError(
      'TSB_IMAGE_FOREIGN_LAYER',
      `${reference}: layer ${digest} may not be distributed by registries`,
      {
        hint: 'such layers, of Windows images, cannot be pulled: use another image',
      },
    );
  }
  throw new TsbuildError('TSB_IMAGE_UNSUPPORTED_LAYER', `${reference}: layer ${digest} has media type "${mediaType}"`, {
    hint: 'only tar layers, plain or compressed with gzip or zstd, can be unpacked: use another image',
  });
}
