// ADD of a repository: a snapshot with one commit's files, as BuildKit checks it out.
import { lutimesSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';
import type { Digest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { SourceOp } from '../../solver/op.ts';
import type { RunContext } from '../../solver/op-runner.ts';
import { gitSourceDigest } from '../../solver/source-key.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { SecretSource } from '../ops/exec-mounts.ts';
import type { RemoteSource } from '../ops/remote-sources.ts';
import type { SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import { whileLoadingKey } from './errors.ts';
import { GitCommand } from './git-command.ts';
import { fetching, type GitWant, isCommitID, type ResolvedRef, resolveRef } from './git-refs.ts';

export interface GitSourcePorts {
  readonly content: Pick<ContentStore, 'temporaryPath'>;
  readonly snapshotter: Snapshotter;
  readonly secrets: SecretSource;
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface GitRequest extends GitWant {
  /** Without slashes around it; empty for the whole repository. */
  readonly subdir: string;
  readonly keepsGitDir: boolean;
  readonly skipsSubmodules: boolean;
  readonly mtime: string;
}

/** Throws TSB_GIT_…. */
export class GitSource implements RemoteSource {
  readonly #ports: GitSourcePorts;
  readonly #resolved = new Map<Digest, Promise<ResolvedRef>>();

  constructor(ports: GitSourcePorts) {
    this.#ports = ports;
  }

  async cacheDigest(vertex: Vertex, op: SourceOp, context: RunContext): Promise<Digest> {
    try {
      const { keepsGitDir, subdir, skipsSubmodules, mtime } = requestOf(op);
      const { ref, object, taggedCommit } = await this.#resolve(vertex, op, context);
      return gitSourceDigest({
        // With the repository kept, the object of a tag is part of the result.
        commit: keepsGitDir ? object : (taggedCommit ?? object),
        ...(keepsGitDir && { keptGitRef: ref }),
        subdir,
        skipSubmodules: skipsSubmodules,
        mtime: mtime === 'checkout' ? '' : mtime,
      });
    } catch (error) {
      throw whileLoadingKey(error);
    }
  }

  async load(vertex: Vertex, op: SourceOp, context: RunContext): Promise<SnapshotName> {
    const { content, snapshotter } = this.#ports;
    const request = requestOf(op);
    const resolved = await this.#resolve(vertex, op, context);
    const git = await this.#open(request, op, context);
    const active = snapshotter.prepare(undefined);
    const work = content.temporaryPath();
    try {
      mkdirSync(work, { mode: 0o755 });
      await checkOut(git, { request, resolved, target: active.upperDir, work });
      return snapshotter.commit(active);
    } catch (error) {
      snapshotter.discard(active);
      throw error;
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }

  #resolve(vertex: Vertex, op: SourceOp, context: RunContext): Promise<ResolvedRef> {
    const request = requestOf(op);
    const known =
      this.#resolved.get(vertex.digest) ?? this.#open(request, op, context).then((git) => resolveRef(git, request));
    this.#resolved.set(vertex.digest, known);
    return known;
  }

  async #open({ remote }: GitRequest, { attrs }: SourceOp, { signal }: RunContext): Promise<GitCommand> {
    const { env } = this.#ports;
    const authorization = await this.#authorization(remote, attrs);
    const config = authorization === undefined ? {} : { [`http.${scopeOf(remote)}.extraheader`]: authorization };
    return new GitCommand({ env, signal, config });
  }

  /** The first secret there is, in BuildKit's order: of the host before any host's, a header before a token. */
  async #authorization(remote: string, attrs: SourceOp['attrs']): Promise<string | undefined> {
    if (!/^https?:/.test(remote)) return undefined;
    const [header, token] = [attrs['git.authheadersecret'], attrs['git.authtokensecret']];
    for (const suffix of [`.${new URL(remote).host}`, '']) {
      const whole = header === undefined ? undefined : await this.#secret(header + suffix);
      if (whole !== undefined) return `Authorization: ${whole}`;
      const bare = token === undefined ? undefined : await this.#secret(token + suffix);
      if (bare !== undefined) {
        return `Authorization: basic ${Buffer.from(`x-access-token:${bare}`).toString('base64')}`;
      }
    }
    return undefined;
  }

  async #secret(id: string): Promise<string | undefined> {
    const bytes = await this.#ports.secrets.read(id);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8').trim();
  }
}

function requestOf({ identifier, attrs }: SourceOp): GitRequest {
  const written = attrs['git.fullurl'] ?? identifier.replace(/#.*/, '');
  const remote = /^(https?|git|file):\/\//.test(written) ? written : `https://${written}`;
  if (attrs['git.mountsshsock'] !== undefined) {
    throw new TsbuildError('TSB_GIT_SSH_UNSUPPORTED', `cannot fetch ${redacted(written)} over ssh: not supported yet`, {
      hint: 'use an https URL, with a token in --secret id=GIT_AUTH_TOKEN if it needs one',
    });
  }
  const [ref = '', subdir = ''] = splitAt(splitAt(identifier, '#')[1] ?? '', ':');
  const clean = posix.normalize(`/${subdir}`).replace(/^\/|\/$/g, '');
  return {
    remote,
    shownRemote: redacted(remote),
    ref,
    checksum: attrs['git.checksum'] ?? '',
    subdir: clean,
    keepsGitDir: attrs['git.keepgitdir'] === 'true',
    skipsSubmodules: attrs['git.skipsubmodules'] === 'true',
    mtime: attrs['git.mtime'] ?? '',
  };
}

interface Checkout {
  readonly request: GitRequest;
  readonly resolved: ResolvedRef;
  /** Where the files go. */
  readonly target: string;
  /** An empty directory on the same file system, removed afterwards. */
  readonly work: string;
}

async function checkOut(git: GitCommand, { request, resolved, target, work }: Checkout): Promise<void> {
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
  if (keeps) await tree.run('remote', 'set-url', 'origin', request.shownRemote);
  else removeGitFiles(workTree);
  if (request.subdir !== '') moveSubdirectory(workTree, request.subdir, target);
  if (request.mtime === 'commit') setTimes(target, committedAt);
}

/** Leaves the wanted object as FETCH_HEAD. */
async function fetchCommit(
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

/** Where a token may go: to that repository, and to all of GitHub's when it is one of them. */
function scopeOf(remote: string): string {
  return /^https:\/\/(www\.)?github\.com\//.exec(remote)?.[0] ?? remote;
}

function redacted(remote: string): string {
  return remote.replace(/\/\/[^/@]*@/, '//');
}

function splitAt(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
