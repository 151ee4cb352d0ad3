// The sources of ADD that come over the network, opened when a build first needs them.
import type { SourceOp } from '../../solver/op.ts';
import type { RemoteSource, RemoteSourceOf } from '../ops/remote-sources.ts';
import type { SecretSource } from '../ops/exec-mounts.ts';
import { HttpClient } from '../registry/http.ts';
import type { Store } from '../store/open-store.ts';
import { HttpFetcher } from './http-fetcher.ts';
import { HttpSource } from './http-source.ts';

export interface RemoteSourcesPorts {
  readonly store: Pick<Store, 'content' | 'snapshotter' | 'fetchedFiles'>;
  readonly secrets: SecretSource;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
}

/** One for a build. */
export function openRemoteSources({ store, secrets, env, now }: RemoteSourcesPorts): RemoteSourceOf {
  const { content, snapshotter, fetchedFiles } = store;
  let http: RemoteSource | undefined;
  const openHttp = (): RemoteSource => {
    const fetcher = new HttpFetcher({ http: new HttpClient({ environment: env }), content, fetchedFiles, secrets });
    return new HttpSource({ content, snapshotter, fetcher, now });
  };
  return async ({ identifier }: SourceOp) => {
    if (!/^https?:\/\//.test(identifier)) return undefined;
    http ??= openHttp();
    return http;
  };
}
