// Source ops of what ADD fetches: files over http and git repositories.
import type { SourceOp } from '../solver/op.ts';
import { dockerfileError } from './errors.ts';
import type { GitUrl } from './git-url.ts';
import { absolutePath, baseName } from './image-path.ts';
import { digestProblem } from './reference.ts';

/** True for an http or https URL. */
export function isHttpUrl(source: string): boolean {
  return source.startsWith('http://') || source.startsWith('https://');
}

/** The name a fetched file gets: the last part of the URL's path, decoded. */
export function fileNameOf(url: string): string {
  const path = URL.canParse(url) ? decodePath(new URL(url).pathname) : '/';
  const name = baseName(path);
  return ['/', '.', '..'].includes(name) ? '__unnamed__' : name;
}

/** Throws TSB_DOCKERFILE_CHECKSUM_INVALID. */
export function httpSource(url: string, checksum: string | undefined): SourceOp {
  const problem = checksum === undefined ? undefined : digestProblem(checksum);
  if (problem !== undefined) {
    throw dockerfileError('CHECKSUM_INVALID', problem, { hint: 'write it as sha256: and 64 hex digits' });
  }
  const attrs = { 'http.filename': fileNameOf(url), ...(checksum !== undefined && { 'http.checksum': checksum }) };
  return { kind: 'source', identifier: url, attrs };
}

interface GitSourceOptions {
  readonly checksum: string | undefined;
  readonly keepGitDir: boolean | undefined;
}

/** Throws TSB_DOCKERFILE_GIT_URL when the flags of ADD and the URL disagree. */
export function gitSource(url: GitUrl, options: GitSourceOptions): SourceOp {
  const keepGitDir = agreedKeepGitDir(url, options);
  const checksum = agreedChecksum(url, options);
  const fragment = url.ref === '' && url.subdir === '' ? '' : `#${url.ref}${url.subdir === '' ? '' : `:${url.subdir}`}`;
  return {
    kind: 'source',
    identifier: `git://${url.host}${absolutePath('/', url.path)}${fragment}`,
    attrs: {
      ...(keepGitDir === true && { 'git.keepgitdir': 'true' }),
      'git.fullurl': url.remote,
      'git.authtokensecret': 'GIT_AUTH_TOKEN',
      'git.authheadersecret': 'GIT_AUTH_HEADER',
      ...(url.isSSH && { 'git.mountsshsock': 'default' }),
      ...(checksum !== '' && { 'git.checksum': checksum }),
      ...(url.submodules === false && { 'git.skipsubmodules': 'true' }),
      ...(url.mtime !== '' && { 'git.mtime': url.mtime }),
    },
  };
}

function agreedKeepGitDir(url: GitUrl, options: GitSourceOptions): boolean | undefined {
  const differs = url.keepGitDir !== undefined && options.keepGitDir !== undefined;
  if (differs && url.keepGitDir !== options.keepGitDir) {
    throw dockerfileError('GIT_URL', 'inconsistent keep-git-dir configuration');
  }
  return url.keepGitDir ?? options.keepGitDir;
}

function agreedChecksum(url: GitUrl, { checksum = '' }: GitSourceOptions): string {
  if (checksum !== '' && url.checksum !== '' && checksum !== url.checksum) {
    throw dockerfileError('GIT_URL', `checksum mismatch "${checksum}" != "${url.checksum}"`);
  }
  return url.checksum === '' ? checksum : url.checksum;
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (error) {
    if (error instanceof URIError) return path;
    throw error;
  }
}
