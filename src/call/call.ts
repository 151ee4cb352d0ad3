// `--check` and `--call`: what a Dockerfile says about itself, without building it.
import { checkDockerfile } from '../../frontend/check.ts';
import { listTargets, outlineTarget } from '../../frontend/outline.ts';
import { parseDockerfile } from '../../frontend/parse.ts';
import { type TsbuildError, TsbuildErrors } from '../../solver/errors.ts';
import { readInputs } from '../build-inputs.ts';
import { openResolver } from '../build-world.ts';
import type { BuildOptions } from '../cli/options.ts';
import { showMetadata } from '../image/show-metadata.ts';
import { loadInputs } from '../load-inputs.ts';
import type { Session } from '../session.ts';
import { formatCheck, formatOutline, formatTargets } from './call-json.ts';
import type { CallMode } from './call-mode.ts';
import { renderCheck, renderOutline, renderTargets } from './call-text.ts';

interface CallResult {
  /** For stdout. */
  readonly text: string;
  /** 1 when a check found something. */
  readonly exitCode: number;
  /** To be reported like the failure of a build. */
  readonly error: TsbuildError | TsbuildErrors | undefined;
}

/** Answers what `--call` asks. Throws what loading the Dockerfile throws. */
export async function call(options: BuildOptions, mode: CallMode, session: Session): Promise<CallResult> {
  const loaded = await loadInputs(options, session);
  try {
    return await answerCall(readInputs(loaded), mode, session);
  } finally {
    await loaded.close();
  }
}

async function answerCall(
  inputs: ReturnType<typeof readInputs>,
  mode: CallMode,
  session: Session,
): Promise<CallResult> {
  const { file } = inputs.dockerfile;
  if (mode.method === 'lint') return await check(inputs, mode, session);
  const parsed = parseDockerfile(file);
  if (mode.method === 'targets') {
    const targets = listTargets(parsed, inputs.convertOptions);
    return answer(mode.isJSON ? formatTargets(targets, file) : renderTargets(targets));
  }
  const outline = outlineTarget(parsed, inputs.convertOptions);
  return answer(mode.isJSON ? formatOutline(outline, file) : renderOutline(outline));
}

function answer(text: string): CallResult {
  return { text, exitCode: 0, error: undefined };
}

async function check(
  inputs: ReturnType<typeof readInputs>,
  { isJSON }: CallMode,
  session: Session,
): Promise<CallResult> {
  const { file } = inputs.dockerfile;
  const { warnings, error } = await checkText(inputs, session);
  const exitCode = warnings.length > 0 || error !== undefined ? 1 : 0;
  // JSON holds the error itself.
  if (isJSON) return { text: formatCheck(warnings, firstOf(error), file), exitCode, error: undefined };
  return { text: error !== undefined && warnings.length === 0 ? '' : renderCheck(warnings, file), exitCode, error };
}

async function checkText({ dockerfile, convertOptions, options }: ReturnType<typeof readInputs>, session: Session) {
  try {
    const parsed = parseDockerfile(dockerfile.file);
    const resolver = showMetadata(openResolver({ options }, session), session.emit);
    return await checkDockerfile(parsed, convertOptions, { resolver });
  } catch (error) {
    if (error instanceof TsbuildErrors) return { warnings: [], error };
    throw error;
  }
}

function firstOf(error: TsbuildError | TsbuildErrors | undefined): TsbuildError | undefined {
  return error instanceof TsbuildErrors ? error.errors[0] : error;
}
