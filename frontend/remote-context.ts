// Contexts behind a URL: a repository, or a file that is an archive or the Dockerfile itself.
import type { SourceOp } from '../solver/op.ts';
import { singleCopy } from '../solver/single-copy.ts';
import type { SourceTree } from './convert-scope.ts';
import type { Draft } from './draft.ts';
import type { GitUrl } from './git-url.ts';
import { parseGitUrl } from './git-url.ts';
import { gitSource, isHttpUrl } from './remote-source.ts';

/** What stands behind the URL. */
export interface RemoteContext {
  readonly kind: 'git' | 'http';
  readonly op: SourceOp;
  /** The name of the step that fetches it. */
  readonly shownAs: string;
}

/** The build context where that is no local directory. */
export interface RemoteBuildContext {
  readonly remote: RemoteContext;
  /** The fetched file is an archive, and what is in it is the context. */
  readonly isArchive: boolean;
}

interface RemoteContextOptions {
  /** Of a named context. */
  readonly name?: string;
  /** Keeps the repository beside the files. */
  readonly keepGitDir?: boolean;
}

/** The name that a fetched file has, as in BuildKit. */
export const FETCHED_NAME = 'context';

const GITHUB_PREFIX = 'github.com/';

/** The context that a URL means, or undefined for anything else. Throws TSB_DOCKERFILE_GIT_URL for a bad query. */
export function parseRemoteContext(text: string, options: RemoteContextOptions = {}): RemoteContext | undefined {
  const git = parseGitContext(text);
  if (git !== undefined) return gitContext(text, git, options);
  if (!isHttpUrl(text) || !URL.canParse(text)) return undefined;
  const { name } = options;
  return {
    kind: 'http',
    op: { kind: 'source', identifier: text, attrs: { 'http.filename': FETCHED_NAME } },
    shownAs: name === undefined ? '[internal] load remote build context' : `[context ${name}] ${withoutUserInfo(text)}`,
  };
}

/** True for a repository that needs an ssh agent. */
export function isSSHContext({ op }: RemoteContext): boolean {
  return op.attrs['git.mountsshsock'] !== undefined;
}

/** A URL as it may be shown. */
export function withoutUserInfo(url: string): string {
  return url.replace(/\/\/[^/@]*@/, '//');
}

/** The tree of what is fetched. */
export function remoteTree({ op, shownAs }: RemoteContext): SourceTree & { readonly tree: Draft } {
  return wholeTree({ sources: [], options: { name: shownAs }, createOp: () => op });
}

/** The tree of the build context: what is fetched, or what is in the archive that is fetched. */
export function remoteContextTree({ remote, isArchive }: RemoteBuildContext): SourceTree & { readonly tree: Draft } {
  const fetched = remoteTree(remote);
  if (!isArchive) return fetched;
  const name = `copy /${FETCHED_NAME} /`;
  return wholeTree({ sources: [fetched.tree], options: { name }, createOp: () => UNPACKING });
}

const UNPACKING = singleCopy({ src: `/${FETCHED_NAME}`, dest: '/', attemptUnpack: true });

/** What is fetched is fetched whole. */
function wholeTree(tree: Draft): SourceTree & { readonly tree: Draft } {
  return { tree, needPath: () => undefined };
}

/** The form without a scheme is for contexts only: elsewhere it is a path. */
function parseGitContext(text: string): GitUrl | undefined {
  if (!text.startsWith(GITHUB_PREFIX)) return parseGitUrl(text);
  const url = parseGitUrl(`ssh://${text}`);
  return url && { ...url, remote: url.remote.slice('ssh://'.length), isSSH: false };
}

function gitContext(text: string, url: GitUrl, { keepGitDir = false }: RemoteContextOptions): RemoteContext {
  const keep = url.keepGitDir === true || keepGitDir;
  return {
    kind: 'git',
    op: gitSource({ ...url, keepGitDir: keep }, { checksum: undefined, keepGitDir: undefined }),
    shownAs: `[internal] load git source ${withoutUserInfo(text)}`,
  };
}
