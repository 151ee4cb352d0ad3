// From a parsed Dockerfile to the graph that builds it and the config of the image that comes out.

import { sortKeys } from './convert-metadata.ts';
import type { Conversion, ConvertOptions } from './convert-options.ts';
import { finishDefinition } from './draft.ts';
import { isUserError } from './errors.ts';
import type { ImageConfig } from './image-config.ts';
import type { ParsedDockerfile } from './instruction.ts';
import { Linter } from './lint.ts';
import {
  type ConversionPorts,
  type ConvertPorts,
  openConversion,
  prefetchImages,
  selectedWarnings,
} from './open-conversion.ts';
import { normalizePlatform } from './platform.ts';
import { policeSources } from './policed-source.ts';

/**
 * Converts the stages that the target needs; only their images are looked up. Throws a TsbuildError, or TsbuildErrors
 * when several instructions are wrong, in the order of the file; the port for warnings has been called by then.
 */
export async function convertDockerfile(
  parsed: ParsedDockerfile,
  options: ConvertOptions,
  { resolver, timeOf, onWarnings = () => {} }: ConvertPorts,
): Promise<Conversion> {
  const lint = new Linter(options.ignorePatterns ?? []);
  const { target, build } = await convertTarget(parsed, options, { resolver, lint, timeOf }).catch((error: unknown) => {
    if (isUserError(error)) onWarnings(selectedWarnings(parsed, lint, options).warnings);
    throw error;
  });
  const { warnings, error } = selectedWarnings(parsed, lint, options);
  onWarnings(warnings);
  if (error !== undefined) throw error;
  const { state, needPath } = target;
  needPath('/');
  return {
    definition: finishDefinition(state.tree, policeSources(options)),
    config: finishConfig(state.image, options),
    baseDiffIDs: state.base.diffIDs,
    baseHistoryLength: state.base.historyLength,
    warnings,
    contexts: build.contextPaths.uses(),
    epochMs: build.epochMs,
  };
}

async function convertTarget(parsed: ParsedDockerfile, options: ConvertOptions, ports: ConversionPorts) {
  const { plan, build, converter, errors } = await openConversion(parsed, options, ports);
  prefetchImages(plan, options, (name, platform) => converter.prefetch(name, platform));
  const target = await converter.convert(plan.target);
  errors.throwIfAny();
  return { target, build };
}

/** Labels of the command line win, and the image says that it is for the platform that was asked for. */
function finishConfig(image: ImageConfig, options: ConvertOptions): ImageConfig {
  const labels = sortKeys({ ...image.config.Labels, ...options.labels });
  const config = Object.keys(labels).length === 0 ? image.config : { ...image.config, Labels: labels };
  const { variant, ...platform } = normalizePlatform(
    options.isTargetImplicit === true ? ownPlatform(image) : wantedPlatform(image, options),
  );
  const { variant: _old, ...rest } = image;
  return {
    ...rest,
    os: platform.os,
    architecture: platform.architecture,
    ...(variant !== undefined && { variant }),
    config,
  };
}

function ownPlatform({ os, architecture, variant }: ImageConfig) {
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

function wantedPlatform(image: ImageConfig, { targetPlatform }: ConvertOptions) {
  const { os, architecture, variant } = targetPlatform;
  const isSame = os === image.os && architecture === image.architecture;
  const kept = variant ?? (isSame ? image.variant : undefined);
  return { os, architecture, ...(kept !== undefined && { variant: kept }) };
}
