// Wires one build: the image resolver and puller, the contexts, the sandbox, and the op runner over them.
import { cpus } from 'node:os';
import { checkIgnoreFile, createPatternMatcher, readIgnoreFile } from '../frontend/dockerignore.ts';
import type { ImageResolver } from '../frontend/image-resolver.ts';
import type { Definition } from '../solver/definition.ts';
import type { Digest } from '../solver/digest.ts';
import type { Miss } from '../solver/miss.ts';
import type { OpRunner, Result } from '../solver/op-runner.ts';
import type { Vertex } from '../solver/vertex.ts';
import type { BuildInputs } from './build-inputs.ts';
import type { BuildRecorder } from './build-recorder.ts';
import { loadIgnoreFile } from './context/load-dockerfile.ts';
import { openContextDirectory } from './context/open-context.ts';
import type { SecurityOptions } from './cli/security-flags.ts';
import { writeRunRecord } from './debug/run-record.ts';
import type { OpenExplainerOptions } from './explain/open-explainer.ts';
import { imageVertices } from './image/image-vertices.ts';
import { LayerDigests } from './image/layer-digests.ts';
import { LazyLayers, type LazyLayersPorts } from './image/lazy-layers.ts';
import { LostLayers } from './image/lost-layers.ts';
import { StoreImageResolver } from './image/resolver.ts';
import { showMetadata } from './image/show-metadata.ts';
import { ContextTree } from './ops/build-context.ts';
import type { RestoreMount } from './ops/cache-mounts.ts';
import type { FailedStep } from './ops/exec-run.ts';
import { FollowingRunner } from './ops/following-runner.ts';
import { createImageSources, type ImageSources } from './ops/image-sources.ts';
import { StoreOpRunner } from './ops/op-runner.ts';
import { contextResult } from './ops/result-trees.ts';
import { UnpackingRunner } from './ops/unpacking-runner.ts';
import type { RegistryClient } from './registry/registry-client.ts';
import { type Late, late } from './late.ts';
import type { S3Access } from './s3/s3-access.ts';
import type { Executor } from './sandbox/executor.ts';
import type { Session } from './session.ts';
import { hostPlatform } from './sys/host-platform.ts';

/** What the explainer of a build is told by who builds. */
type ExplainWithOptions = Pick<OpenExplainerOptions, 'vertices' | 'isBuildArg' | 'fromOf'>;

/** One for a build, which closes it, whatever became of the build. */
export interface BuildWorld {
  readonly runner: OpRunner;
  readonly resolver: ImageResolver;
  readonly layers: LayerDigests;
  readonly lazyLayers: LazyLayers;
  readonly lost: LostLayers;
  /** One client for the build, made when it is first asked for. */
  readonly registry: () => Promise<RegistryClient>;
  /** The same for buckets. */
  readonly s3: () => Promise<S3Access>;
  /** Digests the image's layers in the background as soon as their steps end. */
  followLayers(definition: Definition): void;
  /** What fills cache mounts that are not here. */
  restoreMountsWith(restore: RestoreMount): void;
  /** The error that a solve ended with, together with what else is known to be wrong. */
  completeError(error: unknown, definition: Definition): Promise<unknown>;
  /** True once a step has run. */
  hasRun(): boolean;
  /** Loads what says of each step that runs why it does. */
  explainWith(options: ExplainWithOptions): Promise<(miss: Miss) => void>;
  /** Writes down what was learnt of the contexts, and ends threads and processes kept ready. */
  close(): Promise<void>;
}

/** Eight stages of `sleep` go side by side on the smallest machine; more processors run more. */
const PROCESSES_PER_CPU = 4;
const LEAST_PROCESSES = 8;

/** Everything that `build` needs around the pure rings. The caller closes it. */
export function openBuildWorld(
  inputs: BuildInputs,
  session: Session,
  buildID: string,
  recorder: BuildRecorder,
): BuildWorld {
  const { store } = session;
  const diffs = late(async () => (await import('./diff/diff-service.ts')).createDiffService());
  const layers = new LayerDigests(store.snapshotter, diffs.get);
  const executor = lateExecutor(inputs, session);
  const registry = lateRegistry(session);
  const resolver = openResolver(inputs, session, registry);
  const s3 = lateS3(session);
  const { lazyLayers, lost } = openLazyLayers(session, { registry, s3 });
  const { secrets, agents, remoteSourceOf } = inputs.sources;
  let followed: ReadonlySet<Digest> = new Set();
  let hasRun = false;
  let restoreMount: RestoreMount | undefined;
  let onResult: ((vertex: Vertex, result: Result) => void) | undefined;
  const runner = new StoreOpRunner({
    snapshotter: store.snapshotter,
    executor: { run: async (spec, io) => (await executor.get()).run(spec, io) },
    images: openImages(resolver, session, lazyLayers),
    remoteSourceOf,
    secrets,
    agents,
    storeRoot: store.root,
    restoreMount: () => restoreMount,
    defaultPlatform: hostPlatform(),
    execConcurrency: Math.max(LEAST_PROCESSES, cpus().length * PROCESSES_PER_CPU),
    isRootless: session.isRootless,
    statCache: store.statCache,
    openContext: (name) => openTree(name, inputs, session),
    now: session.now,
    logPathOf: (vertex) => openLog(vertex, { session, buildID, recorder }),
    outputRoom: session.outputRoom,
    onFailure: (failure) => recordFailure(failure, inputs.options.security, { session, buildID, recorder }),
  });
  return {
    runner: new FollowingRunner(
      new UnpackingRunner({ inner: runner, lazyLayers, lost, now: session.now }),
      (vertex, [result]) => {
        hasRun ||= vertex.op.kind !== 'source';
        if (result !== undefined) onResult?.(vertex, result);
        if (followed.has(vertex.digest) && result?.id !== undefined) layers.start(result.id);
      },
    ),
    resolver: showMetadata(resolver, session.emit, inputs.convertOptions.isMultiPlatform),
    layers,
    lazyLayers,
    lost,
    registry,
    s3,
    followLayers: (definition) => {
      followed = imageVertices(definition);
    },
    restoreMountsWith: (restore) => {
      restoreMount = restore;
    },
    completeError: (error, definition) => completeError(error, definition, runner),
    hasRun: () => hasRun,
    explainWith: async (options) => {
      const { openExplainer } = await import('./explain/open-explainer.ts');
      const explainer = openExplainer({ ...options, session, recorder, buildID, runner });
      onResult = explainer.onResult;
      return explainer.explain;
    },
    close: async () => {
      runner.flush();
      await (await executor.ifLoaded())?.close();
      await (await diffs.ifLoaded())?.close();
    },
  };
}

async function completeError(error: unknown, definition: Definition, runner: StoreOpRunner): Promise<unknown> {
  const { withOtherMissing } = await import('./ops/missing-sources.ts');
  return withOtherMissing(error, definition, (name) => runner.sourceOf(contextResult(name)).tree);
}

function lateExecutor({ options }: BuildInputs, { store, warn }: Session): Late<Executor> {
  const { ociRuntime: runtime, limits, security } = options;
  const stateDir = `${store.root}/tmp/sandbox`;
  return late(async () =>
    (await import('./sandbox/open-executor.ts')).openExecutor({ stateDir, runtime, limits, security, warn }),
  );
}

/** Loaded and made when it is first asked for. */
function lateRegistry({ env }: Session): () => Promise<RegistryClient> {
  return late(async () => (await import('./registry/open-client.ts')).openRegistryClient(env)).get;
}

function lateS3({ env, now }: Session): () => Promise<S3Access> {
  return late(async () => new (await import('./s3/s3-access.ts')).S3Access(env, now)).get;
}

function openLazyLayers(
  { store: { content, snapshotter, layerBlobs }, isRootless, warn }: Session,
  places: Pick<LazyLayersPorts, 'registry' | 's3'>,
): Pick<BuildWorld, 'lazyLayers' | 'lost'> {
  const lost = new LostLayers(warn);
  return { lost, lazyLayers: new LazyLayers({ content, snapshotter, layerBlobs, isRootless, lost, ...places }) };
}

/** Looks base images up in the store, in OCI layouts and in registries. */
export function openResolver(
  { options }: Pick<BuildInputs, 'options'>,
  session: Session,
  registry: () => Promise<RegistryClient> = lateRegistry(session),
): StoreImageResolver {
  return new StoreImageResolver({
    content: session.store.content,
    images: session.store.images,
    registry,
    workingDir: session.cwd,
    pull: options.pull,
    warn: session.warn,
    signal: session.signal,
  });
}

function openImages(resolver: StoreImageResolver, session: Session, lazyLayers: LazyLayers): ImageSources {
  const { content, snapshotter, images, layerBlobs } = session.store;
  const { isRootless, now } = session;
  const puller = late(async () => {
    const { ImagePuller } = await import('./image/puller.ts');
    return new ImagePuller({ content, snapshotter, images, layerBlobs, lazyLayers, isRootless, now });
  });
  return createImageSources({
    resolver,
    puller: { pull: async (source, options) => (await puller.get()).pull(source, options) },
    now,
  });
}

function openTree(
  name: string,
  { context, isArchive, ignoreFile, namedContexts }: BuildInputs,
  session: Session,
): ContextTree | undefined {
  if (name === 'context') {
    if (isArchive) return new ContextTree(context, { keepsOwners: true });
    return new ContextTree(context, { ignore: createPatternMatcher(readIgnoreFile(ignoreFile?.text ?? '')) });
  }
  const directory = namedContexts.get(name)?.directory;
  if (directory === undefined) return undefined;
  const path = openContextDirectory(directory, session.cwd);
  const loaded = loadIgnoreFile(path, undefined);
  if (loaded !== undefined) {
    // Not to be taken for that of the build context.
    const named = { ...loaded, name: `${name}/${loaded.name}` };
    session.showSource(named);
    checkIgnoreFile(named);
  }
  return new ContextTree(path, { ignore: createPatternMatcher(readIgnoreFile(loaded?.text ?? '')) });
}

interface RecordPlace {
  readonly session: Session;
  readonly buildID: string;
  readonly recorder: BuildRecorder;
}

function openLog(vertex: Vertex, { session, buildID, recorder }: RecordPlace): string {
  const logPath = `${session.store.builds.directory(buildID)}/${recorder.numberOf(vertex)}.log`;
  recorder.note(vertex.digest, { logPath });
  session.showLog(vertex.digest, logPath);
  return logPath;
}

function recordFailure(
  { vertex, active, runSpec, logPath, exit }: FailedStep,
  security: SecurityOptions | undefined,
  { session, buildID, recorder }: RecordPlace,
): void {
  const nowMs = session.now();
  const secretNames = vertex.op.kind === 'exec' ? (vertex.op.secretEnv ?? []).map(({ name }) => name) : [];
  const { reasons } = recorder.stepOf(vertex.digest) ?? {};
  recorder.note(vertex.digest, { isSaved: true });
  session.store.builds.recordFailure(buildID, {
    number: recorder.numberOf(vertex),
    ...(reasons === undefined ? {} : { reasons }),
    vertex: vertex.digest,
    name: vertex.options.name,
    ...(vertex.options.range === undefined ? {} : { range: vertex.options.range }),
    startedAtMs: recorder.startedAtMs(vertex) ?? nowMs,
    endedAtMs: nowMs,
    status: 'failed',
    logPath,
    runSpec: writeRunRecord(runSpec, { secretNames, security }),
    activeKey: active.key,
    ...(active.parent === undefined ? {} : { parentSnapshot: active.parent }),
    message: `exit code: ${exit.code}`,
  });
}
