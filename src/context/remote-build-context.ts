// A build context behind a URL, fetched before anything else is known of the build. It is solved as the graph will have it
// later, so what the cache knows is not fetched again.
import { finishDefinition, type Tree } from '../../frontend/draft.ts';
import {
  FETCHED_NAME,
  type RemoteBuildContext,
  type RemoteContext,
  remoteContextTree,
} from '../../frontend/remote-context.ts';
import type { SourceOp } from '../../solver/op.ts';
import { solve } from '../../solver/solve.ts';
import { createVertex } from '../../solver/vertex-factory.ts';
import type { BuildSources } from '../build-sources.ts';
import { openArchive } from '../diff/archive.ts';
import { EMPTY_TREE } from '../ops/empty-tree.ts';
import { StoreOpRunner } from '../ops/op-runner.ts';
import type { Session } from '../session.ts';
import type { FileTree } from '../snapshot/file-tree.ts';
import { RootView } from '../snapshot/root-view.ts';
import { hostPlatform } from '../sys/host-platform.ts';

interface FetchedContext {
  readonly context: RemoteBuildContext;
  readonly tree: FileTree;
  /** The Dockerfile is what was fetched: its only file. */
  readonly isDockerfile: boolean;
}

/** Throws TSB_GIT_…, TSB_HTTP_…, and what unpacking throws. */
export async function fetchBuildContext(
  remote: RemoteContext,
  sources: BuildSources,
  session: Session,
): Promise<FetchedContext> {
  const fetched = { remote, isArchive: false };
  const tree = await solveTree(remoteContextTree(fetched).tree, sources, session);
  if (remote.kind === 'git') return { context: fetched, tree, isDockerfile: false };
  if (!(await isArchive(tree))) return { context: fetched, tree, isDockerfile: true };
  const context = { remote, isArchive: true };
  const unpacked = await solveTree(remoteContextTree(context).tree, sources, session);
  return { context, tree: unpacked, isDockerfile: false };
}

/** When what a source op names was made, ms since the epoch. */
export async function timeOfSource(
  op: SourceOp,
  { remoteSourceOf }: BuildSources,
  { signal, emit }: Pick<Session, 'signal' | 'emit'>,
): Promise<number | undefined> {
  const source = await remoteSourceOf(op);
  return await source?.timeOf(createVertex(op, [], { name: '' }), op, { signal, emit, ignoreCache: false });
}

async function isArchive(tree: FileTree): Promise<boolean> {
  const file = tree.lookup(`/${FETCHED_NAME}`);
  const archive = file === undefined ? undefined : await openArchive(file.hostPath);
  await archive?.return(undefined);
  return archive !== undefined;
}

async function solveTree(tree: Tree, sources: BuildSources, session: Session): Promise<FileTree> {
  const { store, signal, emit, now } = session;
  const runner = bareRunner(sources, session);
  const result = await solve(finishDefinition(tree), { runner, cacheStore: store.cacheStore, signal, emit, now });
  return result?.id === undefined ? EMPTY_TREE : new RootView(store.snapshotter.stack(result.id));
}

/** A runner for sources and copies: there is nothing else yet. */
function bareRunner({ secrets, agents, remoteSourceOf }: BuildSources, session: Session): StoreOpRunner {
  const { store, isRootless, now } = session;
  const refuse = (): never => {
    throw new Error('internal error: a build context is fetched and unpacked only');
  };
  return new StoreOpRunner({
    snapshotter: store.snapshotter,
    isRootless,
    openContext: () => undefined,
    statCache: store.statCache,
    now,
    executor: { run: refuse },
    images: { cacheDigests: refuse, pull: refuse },
    agents,
    remoteSourceOf,
    secrets,
    storeRoot: store.root,
    defaultPlatform: hostPlatform(),
    execConcurrency: 1,
    logPathOf: refuse,
    onFailure: refuse,
    outputRoom: refuse,
  });
}
