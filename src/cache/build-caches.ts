// The caches of one build: those it looks into and those it exports. Loaded only by a build that names some.
import { resolve } from 'node:path';
import type { CacheStore } from '../../solver/cache-store.ts';
import type { Definition } from '../../solver/definition.ts';
import type { Digest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { BuildWorld } from '../build-world.ts';
import { addToReport } from '../export/write-results.ts';
import { chainIDs } from '../image/chain-id.ts';
import type { Descriptor } from '../image/descriptor.ts';
import type { LazyLayers } from '../image/lazy-layers.ts';
import { reportStep } from '../progress/report-step.ts';
import type { Session } from '../session.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import {
  type CacheExportSpec,
  type CacheImportSpec,
  type CacheMode,
  parseCacheExport,
  parseCacheImport,
} from './cache-spec.ts';
import { encodeInlineRecords } from './cache-config.ts';
import { exportCache, type ExportCacheOptions, exportName, type PlacedExportSpec } from './export-cache.ts';
import { findResults, inlineRecords, type KeyResult, type ResultLayer } from './export-graph.ts';
import { importCache, importName } from './import-cache.ts';
import type { ImportedCache, ImportedResult } from './imported-cache.ts';
import { ImportingCacheStore } from './importing-cache-store.ts';
import { type CollectedKey, collectKeys, type KeySource } from './key-graph.ts';
import type { OpenedMounts } from './open-mounts.ts';

/** What the flags ask for. */
export interface CachePlan {
  readonly imports: readonly CacheImportSpec[];
  readonly exports: readonly CacheExportSpec[];
}

/** Throws TSB_USAGE_CACHE with exit code 2. */
export function planCaches(
  { cacheFrom, cacheTo }: { readonly cacheFrom: readonly string[]; readonly cacheTo: readonly string[] },
  environment: NodeJS.ProcessEnv,
): CachePlan {
  return {
    imports: cacheFrom.map((text) => parseCacheImport(text, environment)),
    exports: cacheTo.map((text) => parseCacheExport(text, environment)),
  };
}

/** The store's records, with those of the imported caches behind them. A cache that cannot be read is a warning. */
export async function openCacheStore(plan: CachePlan, world: BuildWorld, session: Session): Promise<CacheStore> {
  const { snapshotter, cacheStore } = session.store;
  await rememberCredentials(plan, world);
  const caches = (await Promise.all(plan.imports.map((spec) => importOne(spec, world, session)))).flat();
  if (caches.length === 0) return cacheStore;
  if (caches.some(({ mountIndex }) => mountIndex !== undefined)) {
    const { MountRestorer } = await import('./mount-restorer.ts');
    const restorer = new MountRestorer(caches, world, session);
    world.restoreMountsWith((id, directory, signal) => restorer.restore(id, directory, signal));
  }
  return new ImportingCacheStore({
    own: cacheStore,
    caches,
    hasSnapshot: (name) => snapshotter.exists(name),
    createSnapshot: (result) => createLazySnapshot(world.lazyLayers, result),
  });
}

/** For this build: a layer in a bucket that a later one needs is fetched with what that one was given. */
async function rememberCredentials({ imports, exports }: CachePlan, { s3 }: BuildWorld): Promise<void> {
  for (const spec of [...imports, ...exports]) {
    if (spec.kind !== 's3' || spec.place.credentials === undefined) continue;
    (await s3()).remember(spec.place.bucket, spec.place.credentials);
  }
}

async function importOne(
  spec: CacheImportSpec,
  { registry, s3 }: BuildWorld,
  { emit, cwd, signal, warn }: Session,
): Promise<readonly ImportedCache[]> {
  const name = importName(spec);
  try {
    return await reportStep(emit, `importing cache manifest from ${name}`, () =>
      importCache(spec, { cwd, registry, s3, signal }),
    );
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof TsbuildError)) throw error;
    warn(`cannot import the cache ${name}: ${error.message}`);
    return [];
  }
}

/** The snapshot that ends the stack of layers, each of them lazy unless it is here. */
function createLazySnapshot(lazyLayers: LazyLayers, { layers, place }: ImportedResult): SnapshotName {
  const chain = chainIDs(layers.map(({ diffID }) => diffID));
  let top: SnapshotName | undefined;
  for (const [index, layer] of layers.entries()) {
    top = lazyLayers.create(top, { ...layer, place, chainID: chain[index] ?? layer.diffID });
  }
  if (top === undefined) throw new Error('internal error: an imported result without layers');
  return top;
}

/** What was solved, for its export. */
interface SolvedBuild {
  readonly definition: Definition;
  /** Of the head: see SolveOptions.onSolved. */
  readonly keyIDs: readonly string[];
  readonly imageLayers: readonly ResultLayer[];
}

/** What an exporter takes from the build whose cache it writes. */
export interface CacheExporterPorts {
  readonly world: BuildWorld;
  readonly session: Session;
  /** That the build is solved with. */
  readonly cacheStore: CacheStore;
}

const PLACES = { registry: 'registry', local: 'client directory', s3: 'Amazon S3' } as const;

function stepName(spec: PlacedExportSpec): string {
  return `exporting cache to ${PLACES[spec.kind]} ${exportName(spec)}`;
}

/** Two exports to one place are steps of their own, too. */
function unusedName(name: string, used: Set<string>): string {
  let unused = name;
  for (let number = 2; used.has(unused); number += 1) unused = `${name} (${number})`;
  used.add(unused);
  return unused;
}

interface CollectedBuild extends SolvedBuild {
  readonly keys: readonly CollectedKey[];
}

/** Exports the caches of one build, which has one solve for each platform. */
export class CacheExporter {
  readonly #plan: CachePlan;
  readonly #ports: CacheExporterPorts;
  readonly #solved: CollectedBuild[] = [];

  constructor(plan: CachePlan, ports: CacheExporterPorts) {
    this.#plan = plan;
    this.#ports = ports;
  }

  /** Gives the records that the image's config shall carry; undefined when that was not asked for, or when there are none. */
  async add(build: SolvedBuild): Promise<Uint8Array | undefined> {
    const solved = { ...build, keys: await this.#collect(build) };
    this.#solved.push(solved);
    if (!this.#plan.exports.some(({ kind }) => kind === 'inline')) return undefined;
    const diffIDs = build.imageLayers.map(({ diffID }) => diffID);
    const records = inlineRecords(await this.#results('min', [solved]), diffIDs);
    if (records !== undefined) return encodeInlineRecords(records);
    this.#ports.session.warn('no cache record belongs to a layer of the image: it carries none');
    return undefined;
  }

  /**
   * Writes the others, and into the file that tells what was made the manifest of the last one. Throws what went wrong with
   * one for which that counts; else it is a warning.
   */
  async exportAll(metadataFile: string | undefined): Promise<void> {
    let manifest: Descriptor | undefined;
    const names = new Set<string>();
    for (const spec of this.#plan.exports) {
      if (spec.kind === 'inline') continue;
      manifest = (await this.#export(spec, unusedName(stepName(spec), names))) ?? manifest;
    }
    if (metadataFile === undefined || manifest === undefined) return;
    const { mediaType, digest, size } = manifest;
    addToReport(
      resolve(this.#ports.session.cwd, metadataFile),
      'cache.manifest',
      JSON.stringify({ mediaType, digest, size }),
    );
  }

  async #export(spec: PlacedExportSpec, name: string): Promise<Descriptor | undefined> {
    const { emit, signal, warn } = this.#ports.session;
    try {
      return await reportStep(emit, name, async (report) => {
        report('preparing build cache for export');
        const results = await this.#results(spec.mode, this.#solved);
        const mounts = spec.hasMounts === true ? await this.#openMounts(exportName(spec)) : undefined;
        try {
          return await this.#write(spec, results, { report, ...(mounts && { mounts: mounts.mounts }) });
        } finally {
          mounts?.release();
        }
      });
    } catch (error) {
      signal.throwIfAborted();
      if (!spec.ignoresErrors || !(error instanceof TsbuildError)) throw error;
      warn(`cannot export the cache to ${exportName(spec)}: ${error.message}`);
      return undefined;
    }
  }

  async #write(
    spec: PlacedExportSpec,
    results: readonly KeyResult[],
    options: Pick<ExportCacheOptions, 'report' | 'mounts'>,
  ): Promise<Descriptor | undefined> {
    const { store, cwd, signal, now } = this.#ports.session;
    const { lazyLayers, registry, s3 } = this.#ports.world;
    const ports = { rooms: store, images: store.images, lazyLayers, registry, s3 };
    return await exportCache(spec, results, { ...ports, ...options, cwd, signal, now });
  }

  async #openMounts(name: string): Promise<OpenedMounts> {
    const { openMounts } = await import('./open-mounts.ts');
    const { store, warn } = this.#ports.session;
    return openMounts(
      store.root,
      this.#solved.map(({ definition }) => definition),
      { name, warn },
    );
  }

  async #results(mode: CacheMode, solved: readonly CollectedBuild[]): Promise<readonly KeyResult[]> {
    const { world, session } = this.#ports;
    const keys = new Map(solved.flatMap((one) => one.keys.map((key) => [key.keyID, key])));
    return await findResults([...keys.values()], {
      snapshotter: session.store.snapshotter,
      imageLayers: solved.flatMap(({ imageLayers }) => imageLayers),
      mode,
      layersOf: (name) => world.layers.ofChain(name),
    });
  }

  async #collect({ definition, keyIDs }: SolvedBuild): Promise<readonly CollectedKey[]> {
    const { runner } = this.#ports.world;
    const { signal, store } = this.#ports.session;
    const opDigests = new Map<Digest, readonly Digest[]>();
    for (const vertex of definition.vertices) {
      const context = { signal, emit: () => undefined, ignoreCache: false };
      const { digest, alternatives = [], isVolatile = false } = await runner.cacheMap(vertex, context);
      opDigests.set(vertex.digest, isVolatile ? [] : [digest, ...alternatives]);
    }
    const own = store.cacheStore;
    const { cacheStore } = this.#ports;
    const imported = cacheStore instanceof ImportingCacheStore ? cacheStore : undefined;
    const keys: KeySource = {
      keyOf: (keyID) => own.keyOf(keyID),
      linksTo: (keyID) => own.linksTo(keyID),
      records: (keyID) => own.records(keyID),
      rootsOf: (keyID) => imported?.rootsOf(keyID) ?? [],
    };
    return collectKeys({ store: keys, definition, opDigests, keyIDs });
  }
}
