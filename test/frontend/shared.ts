// Where the corpora are, for the tests that read them.
import { existsSync, readFileSync } from 'node:fs';

const root = new URL('../../../shared/corpora/', import.meta.url);

/** Named in the reason of a skipped test. */
export const hasCorpora = existsSync(root);

export function corpusPath(path: string): URL {
  return new URL(path, root);
}

export function readCorpus(path: string): string {
  return readFileSync(corpusPath(path), 'utf8');
}
