// A build from beginning to end, on one screen: read, parse, convert, solve, assemble, write out.
import { convertDockerfile } from '../frontend/convert.ts';
import type { Conversion } from '../frontend/convert-options.ts';
import { checkEntitlements } from '../frontend/entitlements.ts';
import type { LintWarning, ParsedDockerfile } from '../frontend/instruction.ts';
import { parseDockerfile } from '../frontend/parse.ts';
import type { SourceTime } from '../frontend/source-date-epoch.ts';
import { loadDefinitionName } from '../frontend/step-name.ts';
import type { CacheStore } from '../solver/cache-store.ts';
import type { Digest } from '../solver/digest.ts';
import type { Miss } from '../solver/miss.ts';
import { solve } from '../solver/solve.ts';
import { LOCAL_SCHEME } from '../solver/source-schemes.ts';
import type { Vertex } from '../solver/vertex.ts';
import { type BuildInputs, readInputs } from './build-inputs.ts';
import { BuildRecorder } from './build-recorder.ts';
import { type BuildWorld, openBuildWorld } from './build-world.ts';
import type { CacheExporter, CacheExporterPorts, CachePlan } from './cache/build-caches.ts';
import { readSize } from './cli/flag-values.ts';
import type { BuildOptions } from './cli/options.ts';
import { type PlannedResults, planResults, writeResults } from './export/write-results.ts';
import { type AssembledImage, assembleImage } from './image/image-writer.ts';
import { loadInputs } from './load-inputs.ts';
import { type ReportProgress, reportStep, stepDigest } from './progress/report-step.ts';
import type { Session } from './session.ts';
import { elapsedMs } from './sys/clock.ts';

interface BuildOutcome {
  /** Digest of the image config, or of the index of several platforms' images. */
  readonly imageID: Digest;
}

/** Builds what the options ask for. Throws TsbuildError or TsbuildErrors; steps that ended before a failure stay cached. */
export async function build(options: BuildOptions, shown: Session): Promise<BuildOutcome> {
  const recorder = new BuildRecorder();
  const session = recordedSession(shown, recorder);
  const results = planResults(options, session);
  const caches = await planCaches(options, session);
  const loaded = await loadInputs(options, session);
  try {
    return await buildInputs({ inputs: readInputs(loaded), results, caches, session, recorder });
  } finally {
    await loaded.close();
  }
}

interface PlannedBuild {
  readonly inputs: BuildInputs;
  readonly results: PlannedResults;
  readonly caches: CachePlan | undefined;
  readonly session: Session;
  readonly recorder: BuildRecorder;
}

async function buildInputs({ inputs, results, caches, session, recorder }: PlannedBuild): Promise<BuildOutcome> {
  const { options } = inputs;
  if (inputs.convertOptions.isMultiPlatform) (await import('./export/write-index.ts')).checkIndexOutputs(results);
  const parsed = parseDockerfile(inputs.dockerfile.file);
  const { builds } = session.store;
  const id = builds.start({
    dockerfile: inputs.dockerfile.path,
    context: inputs.context,
    ...(options.target === undefined ? {} : { target: options.target }),
  });
  const world = openBuildWorld(inputs, session, id, recorder);
  try {
    const [conversions, cacheStore] = await Promise.all([
      convertAll(parsed, inputs, world, session),
      openCacheStore(caches, world, session),
    ]);
    for (const { definition } of conversions) checkEntitlements(definition, options.allowed);
    let exporter: CacheExporter | undefined;
    let imageID: Digest | undefined;
    while (imageID === undefined) {
      const images: AssembledImage[] = [];
      exporter = await openExporter(caches, { world, session, cacheStore });
      for (const conversion of conversions) {
        const onMiss = lateExplain(parsed, { conversion, world, buildArgs: options.buildArgs });
        images.push(await make({ conversion, cacheStore, exporter, onMiss }, world, session));
      }
      imageID = await writeImages({ inputs, images, results, session, world });
    }
    await exporter?.exportAll(options.metadataFile);
    builds.finish(id, 'completed', imageID, recorder.unsaved());
    return { imageID };
  } catch (error) {
    builds.finish(id, session.signal.aborted ? 'canceled' : 'failed', undefined, recorder.unsaved());
    throw error;
  } finally {
    await world.close();
    if (world.hasRun()) await limitStorage(session);
  }
}

interface BuiltImages {
  readonly inputs: BuildInputs;
  readonly images: readonly AssembledImage[];
  readonly results: PlannedResults;
  readonly session: Session;
  readonly world: BuildWorld;
}

/**
 * Resolves to the imageID, or to the digest of the index when there is one; to undefined when bytes of a cached layer turn
 * out to be lost: solved again, its step runs.
 */
async function writeImages(built: BuiltImages): Promise<Digest | undefined> {
  const { session, world } = built;
  return await reportStep(session.emit, 'exporting to image', async (report) => {
    try {
      return await writeEach(built, report);
    } catch (error) {
      if (session.signal.aborted || !world.lost.tellNew(error)) throw error;
      return undefined;
    }
  });
}

async function writeEach(
  { inputs, images, results, session, world }: BuiltImages,
  report: ReportProgress,
): Promise<Digest> {
  const { options, convertOptions } = inputs;
  const [image] = images;
  if (convertOptions.isMultiPlatform || image === undefined) {
    const { writeIndexResults } = await import('./export/write-index.ts');
    return (await writeIndexResults({ images, results, options, session, report, world })).indexDescriptor.digest;
  }
  await writeResults({ image, results, options, session, report, world });
  return image.configDescriptor.digest;
}

/** A step that ended is not told again as cached, such as the fetching of a context that another solve has done. */
function recordedSession(session: Session, recorder: BuildRecorder): Session {
  const ended = new Set<Digest>();
  return {
    ...session,
    emit: (event) => {
      const { type, vertex } = event;
      if (type === 'cached' && ended.has(vertex)) return;
      if (type === 'cached' || type === 'completed') ended.add(vertex);
      recorder.record(event);
      session.emit(event);
    },
  };
}

interface ExplainPlan {
  readonly conversion: Conversion;
  readonly world: BuildWorld;
  readonly buildArgs: BuildOptions['buildArgs'];
}

/** A cached build loads nothing of it. */
function lateExplain(
  { instructions }: ParsedDockerfile,
  { conversion: { definition }, world, buildArgs }: ExplainPlan,
): (miss: Miss) => Promise<void> {
  const start = async (): Promise<(miss: Miss) => void> => {
    const { baseTexts } = await import('./explain/base-text.ts');
    const args = instructions.flatMap((instruction) => (instruction.kind === 'ARG' ? instruction.args : []));
    const names = new Set(args.map(({ key }) => key));
    const fromOf = baseTexts(instructions, buildArgs);
    return await world.explainWith({ vertices: definition.vertices, isBuildArg: (name) => names.has(name), fromOf });
  };
  let explain: Promise<(miss: Miss) => void> | undefined;
  return async (miss) => {
    // A local directory is read in every build: it is no step that runs.
    if (isLocalSource(miss.vertex)) return;
    explain ??= start();
    (await explain)(miss);
  };
}

function isLocalSource({ op }: Vertex): boolean {
  return op.kind === 'source' && op.identifier.startsWith(LOCAL_SCHEME);
}

const COLLECT_BUDGET_MS = 80;

/** Only what ran can have made the store larger: a cached build pays nothing. */
async function limitStorage({ store, env, now, emit }: Session): Promise<void> {
  const { collectAfterBuild, storageLimit } = await import('./gc/after-build.ts');
  const setting = env['TSBUILD_KEEP_STORAGE'];
  const limitBytes = storageLimit(store.root, setting ? readSize('TSBUILD_KEEP_STORAGE', setting) : undefined);
  const clock = elapsedMs;
  const mounts = collectAfterBuild({ store, limitBytes, nowMs: now(), budgetMs: COLLECT_BUDGET_MS, now: clock });
  if (mounts.length > 0) await (await import('./gc/tell-mounts.ts')).tellMounts(mounts, { emit, nowMs: now() });
}

/** Nothing of it is loaded by a build that has none. */
async function planCaches(options: BuildOptions, { env }: Session): Promise<CachePlan | undefined> {
  if (options.cacheFrom.length + options.cacheTo.length === 0) return undefined;
  return (await import('./cache/build-caches.ts')).planCaches(options, env);
}

async function openCacheStore(caches: CachePlan | undefined, world: BuildWorld, session: Session): Promise<CacheStore> {
  if (caches === undefined) return session.store.cacheStore;
  return await (await import('./cache/build-caches.ts')).openCacheStore(caches, world, session);
}

interface SolvePlan {
  readonly conversion: Conversion;
  readonly cacheStore: CacheStore;
  readonly exporter: CacheExporter | undefined;
  readonly onMiss: (miss: Miss) => Promise<void>;
}

async function make(
  { conversion, cacheStore, exporter, onMiss }: SolvePlan,
  world: BuildWorld,
  session: Session,
): Promise<AssembledImage> {
  const { store, signal, emit, now } = session;
  const { definition, epochMs } = conversion;
  signal.throwIfAborted();
  world.followLayers(definition);
  let keyIDs: readonly string[] = [];
  const onSolved = (found: readonly string[]): void => {
    keyIDs = found;
  };
  const options = { runner: world.runner, cacheStore, signal, emit, now, onSolved, onMiss };
  const result = await solve(definition, options).catch(async (error: unknown) => {
    throw await world.completeError(error, definition);
  });
  const imageLayers = result?.id === undefined ? [] : await world.layers.ofChain(result.id);
  const inlineCache = await exporter?.add({ definition, keyIDs, imageLayers });
  return assembleImage(store, conversion.config, result?.id, {
    baseLayerCount: conversion.baseDiffIDs.length,
    ...(epochMs !== undefined && { sourceDateEpoch: epochMs / 1000 }),
    ...(inlineCache !== undefined && { inlineCache }),
  });
}

async function openExporter(
  caches: CachePlan | undefined,
  ports: CacheExporterPorts,
): Promise<CacheExporter | undefined> {
  if (caches === undefined || caches.exports.length === 0) return undefined;
  const { CacheExporter } = await import('./cache/build-caches.ts');
  return new CacheExporter(caches, ports);
}

/** One conversion for each platform; its warnings are those of the first. */
async function convertAll(
  parsed: ParsedDockerfile,
  inputs: BuildInputs,
  world: BuildWorld,
  session: Session,
): Promise<readonly Conversion[]> {
  const vertex = stepDigest(loadDefinitionName(inputs.options.dockerfile ?? 'Dockerfile'));
  const onWarnings = (warnings: readonly LintWarning[]): void => {
    for (const { rule, detail, range } of warnings) {
      const message = `${rule}: ${detail} (line ${range.start.line})`;
      session.emit({ type: 'warning', vertex, timeMs: session.now(), message, range });
    }
  };
  const { resolver } = world;
  const timeOf: SourceTime = async (op) => {
    const { timeOfSource } = await import('./context/remote-build-context.ts');
    return await timeOfSource(op, inputs.sources, session);
  };
  return await Promise.all(
    inputs.platforms.map((targetPlatform, index) =>
      convertDockerfile(
        parsed,
        { ...inputs.convertOptions, targetPlatform },
        index === 0 ? { resolver, timeOf, onWarnings } : { resolver, timeOf },
      ),
    ),
  );
}
