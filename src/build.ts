// A build from beginning to end, on one screen: read, parse, convert, solve, assemble, write out.
import { convertDockerfile } from '../frontend/convert.ts';
import type { Conversion } from '../frontend/convert-options.ts';
import type { ParsedDockerfile } from '../frontend/instruction.ts';
import { parseDockerfile } from '../frontend/parse.ts';
import { loadDefinitionName, loadIgnoreFileName } from '../frontend/step-name.ts';
import type { CacheStore } from '../solver/cache-store.ts';
import type { Digest } from '../solver/digest.ts';
import type { Miss } from '../solver/miss.ts';
import { solve } from '../solver/solve.ts';
import { type BuildInputs, readInputs } from './build-inputs.ts';
import { BuildRecorder } from './build-recorder.ts';
import { type BuildWorld, openBuildWorld } from './build-world.ts';
import type { CacheExporter, CachePlan, SolvedBuild } from './cache/build-caches.ts';
import { type BuildOptions, readSize } from './cli/options.ts';
import { loadDockerfile, loadIgnoreFile } from './context/load-dockerfile.ts';
import { openContextDirectory } from './context/open-context.ts';
import { planResults, writeResults } from './export/write-results.ts';
import { type AssembledImage, assembleImage } from './image/image-writer.ts';
import { reportStep } from './progress/report-step.ts';
import type { Session } from './session.ts';

export interface BuildOutcome {
  /** Digest of the image config. */
  readonly imageID: Digest;
}

/** Builds what the options ask for. Throws TsbuildError or TsbuildErrors; steps that ended before a failure stay cached. */
export async function build(options: BuildOptions, shown: Session): Promise<BuildOutcome> {
  const recorder = new BuildRecorder();
  const session = recordedSession(shown, recorder);
  const results = planResults(options, session);
  const caches = await planCaches(options);
  const inputs = await loadInputs(options, session);
  const parsed = parseDockerfile(inputs.dockerfile.file);
  const { builds } = session.store;
  const id = builds.start({
    dockerfile: inputs.dockerfile.path,
    context: inputs.context,
    ...(options.target === undefined ? {} : { target: options.target }),
  });
  const world = openBuildWorld(inputs, session, id, recorder);
  try {
    const [conversion, cacheStore] = await Promise.all([
      convert(parsed, inputs, world, session),
      openCacheStore(caches, world, session),
    ]);
    const onMiss = lateExplain(parsed, conversion, world);
    const { image, exporter } = await make({ conversion, cacheStore, caches, onMiss }, world, session);
    await reportStep(session.emit, 'exporting to image', (report) =>
      writeResults({ image, results, options, session, report, world }),
    );
    await exporter?.exportAll();
    builds.finish(id, 'completed', image.configDescriptor.digest, recorder.unsaved());
    return { imageID: image.configDescriptor.digest };
  } catch (error) {
    builds.finish(id, session.signal.aborted ? 'canceled' : 'failed', undefined, recorder.unsaved());
    throw error;
  } finally {
    await world.close();
    if (world.hasRun()) await limitStorage(session);
  }
}

function recordedSession(session: Session, recorder: BuildRecorder): Session {
  return {
    ...session,
    emit: (event) => {
      recorder.record(event);
      session.emit(event);
    },
  };
}

/** A cached build loads nothing of it. */
function lateExplain(
  { instructions }: ParsedDockerfile,
  { definition }: Conversion,
  world: BuildWorld,
): (miss: Miss) => Promise<void> {
  let explain: Promise<(miss: Miss) => void> | undefined;
  return async (miss) => {
    const args = instructions.flatMap((instruction) => (instruction.kind === 'ARG' ? instruction.args : []));
    const names = new Set(args.map(({ key }) => key));
    explain ??= world.explainWith(definition.vertices, (name) => names.has(name));
    (await explain)(miss);
  };
}

const COLLECT_BUDGET_MS = 80;

/** Only what ran can have made the store larger: a cached build pays nothing. */
async function limitStorage({ store, env, now }: Session): Promise<void> {
  const { collectAfterBuild, storageLimit } = await import('./gc/after-build.ts');
  const setting = env['TSBUILD_KEEP_STORAGE'];
  const limitBytes = storageLimit(store.root, setting ? readSize('TSBUILD_KEEP_STORAGE', setting) : undefined);
  const clock = (): number => performance.now();
  collectAfterBuild({ store, limitBytes, nowMs: now(), budgetMs: COLLECT_BUDGET_MS, now: clock });
}

/** Nothing of it is loaded by a build that has none. */
async function planCaches(options: BuildOptions): Promise<CachePlan | undefined> {
  if (options.cacheFrom.length + options.cacheTo.length === 0) return undefined;
  return (await import('./cache/build-caches.ts')).planCaches(options);
}

async function openCacheStore(caches: CachePlan | undefined, world: BuildWorld, session: Session): Promise<CacheStore> {
  if (caches === undefined) return session.store.cacheStore;
  return await (await import('./cache/build-caches.ts')).openCacheStore(caches, world, session);
}

interface SolvePlan {
  readonly conversion: Conversion;
  readonly cacheStore: CacheStore;
  readonly caches: CachePlan | undefined;
  readonly onMiss: (miss: Miss) => Promise<void>;
}

interface MadeImage {
  readonly image: AssembledImage;
  readonly exporter: CacheExporter | undefined;
}

async function make(
  { conversion, cacheStore, caches, onMiss }: SolvePlan,
  world: BuildWorld,
  session: Session,
): Promise<MadeImage> {
  const { store, signal, emit, now } = session;
  const { definition, epochMs } = conversion;
  signal.throwIfAborted();
  world.followLayers(definition);
  let keyIDs: readonly string[] = [];
  const onSolved = (found: readonly string[]): void => {
    keyIDs = found;
  };
  const result = await solve(definition, { runner: world.runner, cacheStore, signal, emit, now, onSolved, onMiss });
  const imageLayers = result?.id === undefined ? [] : await world.layers.ofChain(result.id);
  const exporter = await openExporter(caches, { definition, keyIDs, imageLayers, cacheStore }, world, session);
  const inlineCache = await exporter?.inlineCache();
  const image = assembleImage(store, conversion.config, result?.id, {
    ...(epochMs !== undefined && { sourceDateEpoch: epochMs / 1000 }),
    ...(inlineCache !== undefined && { inlineCache }),
  });
  return { image, exporter };
}

async function openExporter(
  caches: CachePlan | undefined,
  solved: SolvedBuild,
  world: BuildWorld,
  session: Session,
): Promise<CacheExporter | undefined> {
  if (caches === undefined || caches.exports.length === 0) return undefined;
  const { CacheExporter } = await import('./cache/build-caches.ts');
  return new CacheExporter(caches, solved, world, session);
}

async function loadInputs(options: BuildOptions, session: Session): Promise<BuildInputs> {
  const context = openContextDirectory(options.context, session.cwd);
  const dockerfile = await reportStep(
    session.emit,
    loadDefinitionName(options.dockerfile ?? 'Dockerfile'),
    (report) => {
      const loaded = loadDockerfile(context, options.dockerfile, session.cwd);
      report('transferring dockerfile', loaded.sizeBytes);
      session.showSource(loaded.file);
      return loaded;
    },
  );
  const ignoreFile = await reportStep(session.emit, loadIgnoreFileName(), (report) => {
    const loaded = loadIgnoreFile(context, dockerfile.path);
    report('transferring context', Buffer.byteLength(loaded?.text ?? '') + 2);
    return loaded;
  });
  return readInputs({ options, context, dockerfile, ignoreFile, cwd: session.cwd });
}

async function convert(
  parsed: ParsedDockerfile,
  inputs: BuildInputs,
  world: BuildWorld,
  session: Session,
): Promise<Conversion> {
  const conversion = await convertDockerfile(parsed, inputs.convertOptions, { resolver: world.resolver });
  for (const { rule, detail, range } of conversion.warnings)
    session.warn(`${rule}: ${detail} (line ${range.start.line})`);
  return conversion;
}
