// The directories a build reads from: the build context and named contexts.
import { accessSync, constants, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { NamedContext } from '../../frontend/convert-options.ts';
import { parseRemoteContext, type RemoteContext } from '../../frontend/remote-context.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { IMAGE_SCHEME, LAYOUT_SCHEME } from '../../solver/source-schemes.ts';

/** Absolute path of the directory; throws TSB_CONTEXT_NOT_FOUND, TSB_CONTEXT_NOT_A_DIRECTORY, TSB_CONTEXT_UNREADABLE. */
export function openContextDirectory(given: string, cwd: string): string {
  const path = resolve(cwd, given);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new TsbuildError('TSB_CONTEXT_NOT_FOUND', `build context "${given}" does not exist`);
  if (!stat.isDirectory()) {
    throw new TsbuildError('TSB_CONTEXT_NOT_A_DIRECTORY', `build context "${given}" is not a directory`, {
      hint: 'give the directory that holds the files, and the Dockerfile with -f',
    });
  }
  try {
    accessSync(path, constants.R_OK | constants.X_OK);
  } catch (cause) {
    throw new TsbuildError('TSB_CONTEXT_UNREADABLE', `build context "${given}" cannot be read`, { cause });
  }
  return path;
}

/** The context behind a URL; a directory of that name comes first. Throws TSB_DOCKERFILE_GIT_URL. */
export function findRemoteContext(
  given: string,
  { cwd, keepGitDir }: { readonly cwd: string; readonly keepGitDir: boolean },
): RemoteContext | undefined {
  const remote = parseRemoteContext(given, { keepGitDir });
  const isThere = remote !== undefined && statSync(resolve(cwd, given), { throwIfNoEntry: false }) !== undefined;
  return isThere ? undefined : remote;
}

/** A named context with, for a local one, the directory behind it. */
export interface OpenedContext {
  readonly context: NamedContext;
  readonly directory: string | undefined;
}

const CONTEXT_KINDS = 'a directory, a URL, docker-image://NAME, oci-layout://DIRECTORY, target:STAGE, or scratch';

/**
 * Reads the source of `--build-context name=source`. A directory is looked at even if the build does not use it, as
 * buildx does. Throws TSB_CONTEXT_…, TSB_USAGE_BUILD_CONTEXT.
 */
export function openNamedContext(name: string, source: string, cwd: string): OpenedContext {
  if (source === 'scratch') return { context: { kind: 'scratch' }, directory: undefined };
  if (source.startsWith(IMAGE_SCHEME)) {
    return { context: { kind: 'image', reference: source.slice(IMAGE_SCHEME.length) }, directory: undefined };
  }
  if (source.startsWith(LAYOUT_SCHEME)) {
    const path = resolve(cwd, source.slice(LAYOUT_SCHEME.length));
    return { context: { kind: 'image', reference: `${LAYOUT_SCHEME}${path}` }, directory: undefined };
  }
  if (source.startsWith('target:') && source !== 'target:') {
    return { context: { kind: 'stage', stage: source.slice('target:'.length) }, directory: undefined };
  }
  const remote = parseRemoteContext(source, { name });
  if (remote !== undefined) return { context: { kind: 'remote', remote }, directory: undefined };
  const given = `${name}=${source}`;
  if (source === '') throw contextError(given, 'it names nothing');
  const kind = /^([a-z][a-z0-9+.-]*):\/\/|^(target|input):/.exec(source);
  const isThere = statSync(resolve(cwd, source), { throwIfNoEntry: false }) !== undefined;
  if (!isThere && kind !== null) throw contextError(given, `there is no kind "${kind[1] ?? kind[2]}"`);
  return { context: { kind: 'local' }, directory: openContextDirectory(source, cwd) };
}

function contextError(given: string, reason: string): TsbuildError {
  return new TsbuildError('TSB_USAGE_BUILD_CONTEXT', `invalid --build-context "${given}": ${reason}`, {
    hint: `give ${CONTEXT_KINDS}`,
    exitCode: 2,
  });
}
