// `--check`: the warnings of all stages, or of those that the target needs, without a graph.
import type { TsbuildError, TsbuildErrors } from '../solver/errors.ts';
import type { ConvertOptions } from './convert-options.ts';
import { isUserError } from './errors.ts';
import type { LintWarning, ParsedDockerfile } from './instruction.ts';
import { Linter } from './lint.ts';
import {
  type ConversionPorts,
  type ConvertPorts,
  openConversion,
  prefetchImages,
  selectedWarnings,
} from './open-conversion.ts';

interface CheckReport {
  /** In the order of the file. */
  readonly warnings: readonly LintWarning[];
  /** What would keep the Dockerfile from being built, warnings made errors included. */
  readonly error: TsbuildError | TsbuildErrors | undefined;
}

/** Checks without building; base images are looked up, since their configs decide what is well-formed. */
export async function checkDockerfile(
  parsed: ParsedDockerfile,
  options: ConvertOptions,
  { resolver }: ConvertPorts,
): Promise<CheckReport> {
  const lint = new Linter(options.ignorePatterns ?? []);
  try {
    const gathered = await checkStages(parsed, options, { resolver, lint });
    const { warnings, error } = selectedWarnings(parsed, lint, options);
    return { warnings, error: gathered ?? error };
  } catch (error) {
    if (!isUserError(error)) throw error;
    return { warnings: selectedWarnings(parsed, lint, options).warnings, error };
  }
}

/** What is wrong with the stages, if something is; warnings go to the linter. */
async function checkStages(parsed: ParsedDockerfile, options: ConvertOptions, ports: ConversionPorts) {
  const { plan, converter, errors } = await openConversion(parsed, options, ports);
  const targets = options.target === undefined || options.target === '' ? plan.stages : [plan.target];
  for (const target of targets) {
    prefetchImages({ ...plan, target }, options, (name, platform) => converter.prefetch(name, platform));
  }
  for (const stage of targets) await converter.convert(stage);
  return errors.gathered();
}
