// Shows the look-up of base images as steps: `[internal] load metadata for docker.io/library/debian:bookworm`.
import type { ImageResolver } from '../../frontend/image-resolver.ts';
import { fullName } from '../../frontend/policed-source.ts';
import { loadMetadataName } from '../../frontend/step-name.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { EmitEvent } from '../../solver/progress.ts';
import { reportStep } from '../progress/report-step.ts';

/** A resolver whose look-ups are seen, with their platform when several are built. */
export function showMetadata(resolver: ImageResolver, emit: EmitEvent, isMultiPlatform = false): ImageResolver {
  return {
    resolveImage: (reference, options) =>
      reportStep(emit, loadMetadataName(shownName(reference), isMultiPlatform ? options.platform : undefined), () =>
        resolver.resolveImage(reference, options),
      ),
  };
}

function shownName(reference: string): string {
  try {
    return fullName(reference);
  } catch (error) {
    if (error instanceof TsbuildError) return reference;
    throw error;
  }
}
