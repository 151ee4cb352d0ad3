// Where a build gets things from that are not in its context: secrets, ssh agents, servers. What reads the build context
// and what runs the steps share them, so that each is opened once and each server is asked once.
import { join } from 'node:path';
import type { OpenedAgents } from './context/open-agents.ts';
import { openSecrets } from './context/open-secrets.ts';
import type { BuildOptions } from './cli/options.ts';
import { late } from './late.ts';
import type { AgentSource, SecretSource } from './ops/exec-mounts.ts';
import type { RemoteSourceOf } from './ops/remote-sources.ts';
import type { Session } from './session.ts';

/** One for a build; whoever opens it closes it. Nobody is asked before something is needed. */
export interface BuildSources {
  readonly secrets: SecretSource;
  readonly agents: AgentSource;
  readonly remoteSourceOf: RemoteSourceOf;
  /** Ends the agents that were started. */
  close(): Promise<void>;
}

type SourcesSession = Pick<Session, 'store' | 'cwd' | 'env' | 'now'>;

/** Most builds fetch nothing, so the code for it is loaded by the first that does. */
export function openBuildSources(
  { secrets: given, agents: asked }: Pick<BuildOptions, 'secrets' | 'agents'>,
  session: SourcesSession,
): BuildSources {
  const { store, env, now } = session;
  const secrets = openSecrets(given, session);
  const opened = late(
    async (): Promise<OpenedAgents> => (await import('./context/open-agents.ts')).openAgents(asked, session),
  );
  const agents: AgentSource = {
    directory: join(store.root, 'tmp'),
    socketOf: async (id) => (await opened.get()).socketOf(id),
  };
  const remotes = late(async () => {
    const { openRemoteSources } = await import('./remote/open-remote-sources.ts');
    return openRemoteSources({ store, secrets, agents, env, now });
  });
  return {
    secrets,
    agents,
    remoteSourceOf: async (op) => await (await remotes.get())(op),
    close: async () => (await opened.ifLoaded())?.close(),
  };
}
