// Variables of a test, from a record.
import type { EnvLookup } from '../../frontend/shell-words.ts';

export function envOf(record: Readonly<Record<string, string>>): EnvLookup {
  return new Map(Object.entries(record));
}
