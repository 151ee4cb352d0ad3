// What of the cache a vertex asks for.
import type { CacheMap } from './op-runner.ts';
import type { Vertex } from './vertex.ts';

/** Whether it may be found in the cache at all. */
export function usesCache(vertex: Vertex, cacheMap: CacheMap): boolean {
  return !vertex.options.ignoreCache && !cacheMap.isVolatile;
}

/** Whether the input counts by what it holds, too. */
export function countsByContent(cacheMap: CacheMap, index: number): boolean {
  return cacheMap.inputs[index]?.contentSelectors !== undefined;
}
