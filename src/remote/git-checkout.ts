// The files of one commit, as BuildKit checks them out.
import { lutimesSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import type { GitCommand } from './git-command.ts';
import { fetching, type GitWant, isCommitID, type ResolvedRef } from './git-refs.ts';

/** What is to be in the tree: the commit, and how much of the repository. */
export interface GitRequest extends GitWant {
  /** Without slashes around it; empty for the whole repository. */
  readonly subdir: string;
  readonly keepsGitDir: boolean;
  /** The id of the ssh agent to use; undefined for a repository that is not fetched over ssh. */
  readonly agentID: string | undefined;
  readonly skipsSubmodules: boolean;
  readonly mtime: string;
}

interface Checkout {
  readonly request: GitRequest;
  readonly resolved: ResolvedRef;
  /** Where the files go. */
  readonly target: string;
  /** An empty directory on the same file system, removed afterwards. */
  readonly work: string;
}

/** Fetches the commit and writes its files. Throws TSB_GIT_…. */
export async function checkOut(git: GitCommand, { request, resolved, target, work }: Checkout): Promise<void> {
  const keeps = request.keepsGitDir && request.subdir === '';
  const gitDir = keeps ? join(target, '.git') : join(work, 'repository');
  const workTree = request.subdir === '' ? target : join(work, 'tree');
  mkdirSync(workTree, { recursive: true });
  await fetchCommit(git.at({ gitDir }), { request, resolved });
  const tree = git.at({ gitDir, workTree });
  await checkingOut(request, () => tree.run('-c', 'core.bare=false', 'checkout', '--quiet', '--force', 'FETCH_HEAD'));
  const committedAt = Number(await tree.run('show', '--no-patch', '--format=%ct', 'HEAD^{commit}'));
  if (!request.skipsSubmodules) {
    const update = ['submodule', '--quiet', 'update', '--init', '--recursive', '--depth=1'];
    await checkingOut(request, () => tree.run('-c', 'core.bare=false', ...update));
  }
  if (keeps)
    await tree.run('remote', 'set-url', 'origin', request.agentID === undefined ? request.shownRemote : request.remote);
  else removeGitFiles(workTree);
  if (request.subdir !== '') moveSubdirectory(workTree, request.subdir, target);
  if (request.mtime === 'commit') setTimes(target, committedAt);
}

/** Leaves the wanted object as FETCH_HEAD. */
export async function fetchCommit(
  git: GitCommand,
  { request, resolved }: Pick<Checkout, 'request' | 'resolved'>,
): Promise<void> {
  const format = resolved.object.length === 64 ? ['--object-format=sha256'] : [];
  await git.run('-c', 'init.defaultBranch=master', 'init', '--quiet', ...format);
  await git.run('remote', 'add', 'origin', '--', request.remote);
  const { ref, name, object } = resolved;
  const into = isCommitID(ref) ? '' : `:${name.startsWith('refs/') ? name : `refs/tags/${name}`}`;
  const shallow = ['fetch', '--quiet', '--no-tags', '--depth=1', '--force', '--update-head-ok', 'origin'];
  await fetching(request, async () => {
    try {
      await git.run(...shallow, `${ref}${into}`);
      if ((await git.run('rev-parse', 'FETCH_HEAD')).trim() === object) return;
      // The ref has moved since it was looked up.
      await git.run(...shallow, object);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // A server that gives commits only with their branches.
      await git.run('fetch', '--quiet', '--tags', '--force', '--update-head-ok', 'origin', '+refs/*:refs/fetched/*');
      await git.run('fetch', '--quiet', '.', object);
    }
  });
}

function isRefusal(error: unknown): boolean {
  return (
    error instanceof TsbuildError && error.code === 'TSB_GIT_FAILED' && /not our ref|unadvertised/.test(error.message)
  );
}

async function checkingOut<T>({ shownRemote }: GitRequest, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof TsbuildError) || error.code !== 'TSB_GIT_FAILED') throw error;
    throw new TsbuildError(error.code, `failed to checkout remote ${shownRemote}: ${error.message}`);
  }
}

/** What is left of submodules' repositories; no file of a commit can have that name. */
function removeGitFiles(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.name === '.git') rmSync(path, { recursive: true });
    else if (entry.isDirectory()) removeGitFiles(path);
  }
}

/** A link in the repository must not lead out of it. */
function moveSubdirectory(workTree: string, subdir: string, target: string): void {
  const path = join(workTree, subdir);
  const real = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? realpathSync(path) : undefined;
  if (real === undefined || !`${real}/`.startsWith(`${realpathSync(workTree)}/`)) {
    throw new TsbuildError('TSB_GIT_SUBDIR_NOT_FOUND', `failed to open subdir ${subdir}: no such file or directory`);
  }
  for (const name of readdirSync(real)) renameSync(join(real, name), join(target, name));
}

function setTimes(directory: string, seconds: number): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) setTimes(path, seconds);
    lutimesSync(path, seconds, seconds);
  }
}
