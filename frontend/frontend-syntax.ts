// `# syntax=`: the frontend that a Dockerfile asks for. tsbuild is docker/dockerfile itself and never fetches one.
import type { SourceRange } from '../solver/errors.ts';
import { buildArg } from './args.ts';
import { detectSyntax } from './directives.ts';
import { type DockerfileError, dockerfileError } from './errors.ts';
import { lineRange, type SourceFile } from './source-file.ts';

/** Names of the language read here, from whatever registry. */
const DOCKERFILE = /^(?:[^/]+\/)*(?:docker\/dockerfile(?:-upstream)?|dockerfile\.v0)(?:[:@].*)?$/;

/**
 * What is wrong with the frontend asked for, if anything: it is another language. The build arg BUILDKIT_SYNTAX wins over
 * the file, so it can also name docker/dockerfile to have the file read all the same.
 */
export function frontendError(
  file: SourceFile,
  buildArgs: Readonly<Record<string, string>>,
): DockerfileError | undefined {
  const given = buildArg(buildArgs, 'BUILDKIT_SYNTAX');
  const isGiven = given !== undefined && given !== '';
  const reference = isGiven ? given : detectSyntax(file.text);
  if (reference === undefined || DOCKERFILE.test(reference)) return undefined;
  const range = isGiven ? undefined : directiveRange(file);
  return dockerfileError('FRONTEND', `frontend "${reference}" is not supported: only docker/dockerfile is`, {
    hint: 'to read the file as a Dockerfile all the same: --build-arg BUILDKIT_SYNTAX=docker/dockerfile',
    ...(range === undefined ? {} : { range }),
  });
}

function directiveRange(file: SourceFile): SourceRange | undefined {
  const index = file.text.split('\n').findIndex((line) => /syntax/i.test(line));
  return index < 0 ? undefined : lineRange(file, index + 1, index + 1);
}
