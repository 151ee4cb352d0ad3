// Shows the look-up of base images as steps: `[internal] load metadata for docker.io/library/debian:bookworm`.
import type { ImageResolver } from '../../frontend/image-resolver.ts';
import { formatReference, parseReference, withDefaultTag } from '../../frontend/reference.ts';
import { loadMetadataName } from '../../frontend/step-name.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { EmitEvent } from '../../solver/progress.ts';
import { reportStep } from '../progress/report-step.ts';

/** A resolver whose look-ups are seen, with their platform when several are built. */
export function showMetadata(resolver: ImageResolver, emit: EmitEvent, isMultiPlatform = false): ImageResolver {
  return {
    resolveImage: (reference, options) =>
      reportStep(emit, loadMetadataName(fullName(reference), isMultiPlatform ? options.platform : undefined), () =>
        resolver.resolveImage(reference, options),
      ),
  };
}

function fullName(reference: string): string {
  if (reference.startsWith('oci-layout://')) return reference;
  try {
    return formatReference(withDefaultTag(parseReference(reference)));
  } catch (error) {
    if (error instanceof TsbuildError) return reference;
    throw error;
  }
}
