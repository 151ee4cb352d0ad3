// The sources of ADD that come over the network, opened when a build first needs them.
import type { SourceOp } from '../../solver/op.ts';
import type { RemoteSource, RemoteSourceOf } from '../ops/remote-sources.ts';
import type { AgentSource, SecretSource } from '../ops/exec-mounts.ts';
import { HttpClient } from '../registry/http.ts';
import type { Store } from '../store/open-store.ts';
import { GitSource } from './git-source.ts';
import { HttpFetcher } from './http-fetcher.ts';
import { HttpSource } from './http-source.ts';

interface RemoteSourcesPorts {
  readonly store: Pick<Store, 'content' | 'snapshotter' | 'fetchedFiles'>;
  readonly secrets: SecretSource;
  readonly agents: Pick<AgentSource, 'socketOf'>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
}

/** One for a build. */
export function openRemoteSources(ports: RemoteSourcesPorts): RemoteSourceOf {
  let http: RemoteSource | undefined;
  let git: RemoteSource | undefined;
  return async ({ identifier }: SourceOp) => {
    if (/^https?:\/\//.test(identifier)) {
      http ??= openHttp(ports);
      return http;
    }
    if (!identifier.startsWith('git://')) return undefined;
    git ??= openGit(ports);
    return git;
  };
}

function openHttp({ store, secrets, env, now }: RemoteSourcesPorts): RemoteSource {
  const { content, snapshotter, fetchedFiles } = store;
  const fetcher = new HttpFetcher({ http: new HttpClient({ environment: env }), content, fetchedFiles, secrets });
  return new HttpSource({ content, snapshotter, fetcher, now });
}

function openGit({ store, secrets, agents, env }: RemoteSourcesPorts): RemoteSource {
  const { content, snapshotter } = store;
  return new GitSource({ content, snapshotter, secrets, agents, env });
}
