// The caches of one build: those it looks into and those it exports. Loaded only by a build that names some.
import type { CacheStore } from '../../solver/cache-store.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { BuildWorld } from '../build-world.ts';
import { chainIDs } from '../image/chain-id.ts';
import type { LazyLayers } from '../image/lazy-layers.ts';
import { reportStep } from '../progress/report-step.ts';
import type { Session } from '../session.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import { type CacheExportSpec, type CacheImportSpec, parseCacheExport, parseCacheImport } from './cache-spec.ts';
import { importCache, importName } from './import-cache.ts';
import type { ImportedCache, ImportedResult } from './imported-cache.ts';
import { ImportingCacheStore } from './importing-cache-store.ts';

/** What the flags ask for. */
export interface CachePlan {
  readonly imports: readonly CacheImportSpec[];
  readonly exports: readonly CacheExportSpec[];
}

/** Throws TSB_USAGE_CACHE with exit code 2. */
export function planCaches(options: {
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
}): CachePlan {
  return { imports: options.cacheFrom.map(parseCacheImport), exports: options.cacheTo.map(parseCacheExport) };
}

/** The store's records, with those of the imported caches behind them. A cache that cannot be read is a warning. */
export async function openCacheStore({ imports }: CachePlan, world: BuildWorld, session: Session): Promise<CacheStore> {
  const { snapshotter, cacheStore } = session.store;
  const caches = (await Promise.all(imports.map((spec) => importOne(spec, world, session)))).flat();
  if (caches.length === 0) return cacheStore;
  return new ImportingCacheStore({
    own: cacheStore,
    caches,
    hasSnapshot: (name) => snapshotter.exists(name),
    createSnapshot: (result) => createLazySnapshot(world.lazyLayers, result),
  });
}

async function importOne(
  spec: CacheImportSpec,
  { registry }: BuildWorld,
  { emit, cwd, signal, warn }: Session,
): Promise<readonly ImportedCache[]> {
  const name = importName(spec);
  try {
    return await reportStep(emit, `importing cache manifest from ${name}`, () =>
      importCache(spec, { cwd, registry, signal }),
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
