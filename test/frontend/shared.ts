// Where the corpora are, for the tests that read them.
import { existsSync, readFileSync } from 'node:fs';

export const CORPORA = new URL('../../../shared/corpora/', import.meta.url);
export const hasCorpora = existsSync(CORPORA);

export function corpusPath(path: string): URL {
  return new URL(path, CORPORA);
}

export function readCorpus(path: string): string {
  return readFileSync(corpusPath(path), 'utf8');
}
