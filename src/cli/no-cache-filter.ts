// The texts of `--no-cache-filter`: names of stages, and lines of the Dockerfile.
import { usageError } from './usage-error.ts';

/** Each stage or line. Throws TSB_USAGE_NO_CACHE_FILTER for a text that can be neither. */
export function readNoCacheFilter(texts: readonly string[]): readonly string[] {
  const names = texts.flatMap((text) => text.split(','));
  for (const name of names) {
    const fact = factAgainst(name);
    if (fact === undefined) continue;
    throw usageError(
      'NO_CACHE_FILTER',
      `invalid --no-cache-filter "${name}": ${fact}`,
      'write STAGE or Dockerfile:LINE',
    );
  }
  return names;
}

function factAgainst(name: string): string | undefined {
  if (name === '') return 'it names no stage and no line';
  const colon = name.lastIndexOf(':');
  if (colon < 0) return undefined;
  const line = name.slice(colon + 1);
  if (colon === 0) return 'no Dockerfile is named before the colon';
  if (line === '') return 'no line is named after the colon';
  return /^\d+$/.test(line) ? undefined : `"${line}" is no number of a line`;
}
