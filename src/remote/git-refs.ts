// Which commit a ref of a repository stands for, found without fetching anything.
import { TsbuildError } from '../../solver/errors.ts';
import type { GitCommand } from './git-command.ts';

/** Which commit is meant, in words. */
export interface GitWant {
  /** As printed: without userinfo. */
  readonly shownRemote: string;
  readonly remote: string;
  /** As written; empty for the default branch. */
  readonly ref: string;
  /** The beginning of the commit's id that `--checksum` asks for. */
  readonly checksum: string;
}

/** Which one it is now; ids are whole and in lower case. */
export interface ResolvedRef {
  /** Full, such as `refs/heads/main`; a commit's id for a ref that is one. */
  readonly ref: string;
  /** As written, or the name of the default branch. */
  readonly name: string;
  /** What the ref points to: a commit, or the object of an annotated tag. */
  readonly object: string;
  /** The commit that an annotated tag is about. */
  readonly taggedCommit?: string;
}

/** True for the whole id of a commit. */
export function isCommitID(ref: string): boolean {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(ref);
}

/** Asks the repository unless the ref is a commit's id. Throws TSB_GIT_REF_NOT_FOUND, TSB_GIT_CHECKSUM_MISMATCH, TSB_GIT_…. */
export async function resolveRef(git: GitCommand, want: GitWant): Promise<ResolvedRef> {
  const { ref, checksum } = want;
  if (!/^[0-9a-f]*$/i.test(checksum)) {
    throw new TsbuildError(
      'TSB_GIT_CHECKSUM_INVALID',
      `invalid checksum ${checksum} for Git URL, expected hex commit hash`,
    );
  }
  const resolved = isCommitID(ref) ? { ref, name: ref, object: ref } : await askRemote(git, want);
  const known = [resolved.object, ...(resolved.taggedCommit === undefined ? [] : [resolved.taggedCommit])];
  if (!known.some((id) => id.startsWith(checksum))) throw checksumMismatch(checksum, known);
  return resolved;
}

async function askRemote(git: GitCommand, want: GitWant): Promise<ResolvedRef> {
  const name = want.ref === '' ? await defaultBranch(git, want) : want.ref;
  const output = await fetching(want, () => git.run('ls-remote', '--', want.remote, name, `${name}^{}`));
  const ids = new Map(output.split('\n').map((line) => line.split('\t').reverse() as [string, string]));
  const bare = (prefix: string): string => `${prefix}${name.startsWith(prefix) ? name.slice(prefix.length) : name}`;
  const tag = bare('refs/tags/');
  // As git checkout does: branches before tags.
  for (const ref of [bare('refs/'), bare('refs/heads/'), tag]) {
    const object = ids.get(ref);
    if (object === undefined || !isCommitID(object)) continue;
    const taggedCommit = ids.get(`${ref}^{}`);
    return { ref, name, object, ...(ref === tag && taggedCommit !== undefined && { taggedCommit }) };
  }
  throw new TsbuildError(
    'TSB_GIT_REF_NOT_FOUND',
    `repository does not contain ref ${name}, output: ${JSON.stringify(output)}`,
    { hint: `check the branch, tag or commit of ${want.shownRemote}` },
  );
}

async function defaultBranch(git: GitCommand, { remote, shownRemote }: GitWant): Promise<string> {
  const asked = (): Promise<string> => git.run('ls-remote', '--symref', '--', remote, 'HEAD');
  const output = await describing(`error fetching default branch for repository ${shownRemote}`, asked);
  const [, branch] = /refs\/heads\/(\S+)/.exec(output) ?? [];
  if (branch !== undefined) return branch;
  throw new TsbuildError('TSB_GIT_REF_NOT_FOUND', `could not find default branch for repository: ${shownRemote}`, {
    hint: 'name a branch, tag or commit: #REF',
  });
}

/** Runs what talks to the repository; a failure says which one that is. */
export function fetching<T>({ shownRemote }: Pick<GitWant, 'shownRemote'>, run: () => Promise<T>): Promise<T> {
  return describing(`failed to fetch remote ${shownRemote}`, run);
}

async function describing<T>(text: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof TsbuildError) || error.code !== 'TSB_GIT_FAILED') throw error;
    const { hint, message } = error;
    throw new TsbuildError(error.code, `${text}: ${message}`, hint === undefined ? {} : { hint });
  }
}

function checksumMismatch(checksum: string, known: readonly string[]): TsbuildError {
  return new TsbuildError(
    'TSB_GIT_CHECKSUM_MISMATCH',
    `expected checksum to match ${checksum}, got ${known.join(' or ')}`,
    { hint: 'the ref points to another commit than --checksum names: check both' },
  );
}
