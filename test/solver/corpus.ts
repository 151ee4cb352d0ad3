// Where the measured vectors lie: beside the project, when they are there at all.
import { existsSync, readFileSync } from 'node:fs';

const vectors = new URL('../../../shared/corpora/cache-vectors/', import.meta.url);

export const hasVectors = existsSync(vectors);

/** A file of the cache vectors as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: the shape of a foreign JSON file
export function readVector(path: string): any {
  return JSON.parse(readFileSync(new URL(path, vectors), 'utf8'));
}
