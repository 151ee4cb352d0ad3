// `--check`: the warnings of all stages, or of those that the target needs, without a graph.
import { TsbuildError, TsbuildErrors } from '../solver/errors.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { LintWarning, ParsedDockerfile } from './instruction.ts';
import { type ConvertPorts, openConversion, prefetchImages, selectedWarnings } from './open-conversion.ts';

export interface CheckReport {
  /** In the order of the file. */
  readonly warnings: readonly LintWarning[];
  /** What would keep the Dockerfile from being built, warnings made errors included. */
  readonly error: TsbuildError | TsbuildErrors | undefined;
}

/** Checks without building; base images are looked up, since their configs decide what is well-formed. */
export async function checkDockerfile(
  parsed: ParsedDockerfile,
  options: ConvertOptions,
  ports: ConvertPorts,
): Promise<CheckReport> {
  try {
    return await checkStages(parsed, options, ports);
  } catch (error) {
    if (!isOfUser(error)) throw error;
    return { warnings: selectedWarnings(parsed, { warnings: [] }, options).warnings, error };
  }
}

async function checkStages(
  parsed: ParsedDockerfile,
  options: ConvertOptions,
  ports: ConvertPorts,
): Promise<CheckReport> {
  const { plan, build, converter, errors } = await openConversion(parsed, options, ports);
  const targets = options.target === undefined || options.target === '' ? plan.stages : [plan.target];
  for (const target of targets) {
    prefetchImages({ ...plan, target }, options, (name, platform) => converter.prefetch(name, platform));
  }
  for (const stage of targets) await converter.convert(stage);
  const { warnings, error } = selectedWarnings(parsed, build.lint, options);
  return { warnings, error: errors.gathered() ?? error };
}

function isOfUser(error: unknown): error is TsbuildError | TsbuildErrors {
  return error instanceof TsbuildError || error instanceof TsbuildErrors;
}
