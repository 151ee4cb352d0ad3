// ADD of a repository: a snapshot with one commit's files, as BuildKit checks it out.
import { mkdirSync, rmSync } from 'node:fs';
import { join, posix } from 'node:path';
import { splitAt } from '../../frontend/git-url.ts';
import { withoutUserInfo } from '../../frontend/remote-context.ts';
import type { Digest } from '../../solver/digest.ts';
import type { SourceOp } from '../../solver/op.ts';
import type { RunContext } from '../../solver/op-runner.ts';
import { gitSourceDigest } from '../../solver/source-key.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { AgentSource, SecretSource } from '../ops/exec-mounts.ts';
import type { RemoteSource } from '../ops/remote-sources.ts';
import type { SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import { whileLoadingKey } from './errors.ts';
import { checkOut, fetchCommit, type GitRequest } from './git-checkout.ts';
import { GitCommand } from './git-command.ts';
import { authorizedConfig, findRepository } from './git-redirect.ts';
import { type ResolvedRef, resolveRef } from './git-refs.ts';
import { SSHAccess } from './ssh-access.ts';

interface GitSourcePorts {
  readonly content: Pick<ContentStore, 'temporaryPath'>;
  readonly snapshotter: Snapshotter;
  readonly secrets: SecretSource;
  readonly agents: Pick<AgentSource, 'socketOf'>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Throws TSB_GIT_…. */
export class GitSource implements RemoteSource {
  readonly #ports: GitSourcePorts;
  readonly #ssh: SSHAccess;
  readonly #found = new Map<string, Promise<string>>();
  readonly #resolved = new Map<Digest, Promise<ResolvedRef>>();

  constructor(ports: GitSourcePorts) {
    this.#ports = ports;
    this.#ssh = new SSHAccess(ports);
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
    const { snapshotter } = this.#ports;
    const request = requestOf(op);
    const resolved = await this.#resolve(vertex, op, context);
    const active = snapshotter.prepare(undefined);
    try {
      await this.#inWorkDirectory((work) =>
        this.#withGit(op, context, (git) => checkOut(git, { request, resolved, target: active.upperDir, work })),
      );
      return snapshotter.commit(active);
    } catch (error) {
      snapshotter.discard(active);
      throw error;
    }
  }

  /** When the commit was made. */
  async timeOf(vertex: Vertex, op: SourceOp, context: RunContext): Promise<number> {
    const request = requestOf(op);
    const resolved = await this.#resolve(vertex, op, context);
    return await this.#inWorkDirectory((work) =>
      this.#withGit(op, context, async (anywhere) => {
        const git = anywhere.at({ gitDir: join(work, 'repository') });
        await fetchCommit(git, { request, resolved });
        return Number(await git.run('show', '--no-patch', '--format=%ct', 'FETCH_HEAD^{commit}')) * 1000;
      }),
    );
  }

  async #inWorkDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
    const work = this.#ports.content.temporaryPath();
    try {
      mkdirSync(work, { mode: 0o755 });
      return await use(work);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }

  #resolve(vertex: Vertex, op: SourceOp, context: RunContext): Promise<ResolvedRef> {
    const known =
      this.#resolved.get(vertex.digest) ?? this.#withGit(op, context, (git) => resolveRef(git, requestOf(op)));
    this.#resolved.set(vertex.digest, known);
    return known;
  }

  /** Runs `use` with a git that may read the repository. */
  async #withGit<T>(op: SourceOp, { signal }: RunContext, use: (git: GitCommand) => Promise<T>): Promise<T> {
    const { env } = this.#ports;
    const { remote, agentID } = requestOf(op);
    if (agentID !== undefined) {
      const host = /^git:\/\/([^/]+)/.exec(op.identifier)?.[1] ?? '';
      return await this.#ssh.with({ host, agentID, signal }, (variables) =>
        use(new GitCommand({ env, signal, config: {}, variables })),
      );
    }
    return await use(new GitCommand({ env, signal, config: await this.#config(remote, op.attrs, signal) }));
  }

  /** Redirects are looked up once for a repository. */
  async #config(
    remote: string,
    attrs: SourceOp['attrs'],
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, string>>> {
    const authorization = await this.#authorization(remote, attrs);
    if (authorization === undefined) return {};
    const search = { remote, authorization, env: this.#ports.env, signal };
    const found = this.#found.get(remote) ?? findRepository(search);
    this.#found.set(remote, found);
    return authorizedConfig(search, await found);
  }

  /** The first secret there is, in BuildKit's order: of the host before any host's, a header before a token. */
  async #authorization(remote: string, attrs: SourceOp['attrs']): Promise<string | undefined> {
    if (!/^https?:/.test(remote)) return undefined;
    const [header, token] = [attrs['git.authheadersecret'], attrs['git.authtokensecret']];
    for (const suffix of [`.${new URL(remote).host}`, '']) {
      const whole = header === undefined ? undefined : await this.#secret(header + suffix);
      if (whole !== undefined) return whole;
      const bare = token === undefined ? undefined : await this.#secret(token + suffix);
      if (bare !== undefined) {
        return `basic ${Buffer.from(`x-access-token:${bare}`).toString('base64')}`;
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
  const agentID = attrs['git.mountsshsock'];
  const isWhole = agentID !== undefined || /^(https?|git|file):\/\//.test(written);
  const remote = isWhole ? written : `https://${written}`;
  const [ref = '', subdir = ''] = splitAt(splitAt(identifier, '#')[1] ?? '', ':');
  const clean = posix.normalize(`/${subdir}`).replace(/^\/|\/$/g, '');
  return {
    remote,
    shownRemote: withoutUserInfo(remote),
    ref,
    checksum: attrs['git.checksum'] ?? '',
    subdir: clean,
    keepsGitDir: attrs['git.keepgitdir'] === 'true',
    agentID,
    skipsSubmodules: attrs['git.skipsubmodules'] === 'true',
    mtime: attrs['git.mtime'] ?? '',
  };
}
