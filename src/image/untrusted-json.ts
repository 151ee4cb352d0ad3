// First looks at JSON from outside.

/** The value, or undefined when the bytes are no JSON. */
export function parseJSON(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch {
    return undefined;
  }
}

/** The value when it is an object. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}

/** The value when it is a list; else an empty one, which Go writes as null or not at all. */
export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The texts of an object by their names; undefined when there are none. */
export function stringMap(value: unknown): Readonly<Record<string, string>> | undefined {
  const entries = Object.entries(asRecord(value) ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

interface Kinds {
  readonly string: string;
  readonly number: number;
  readonly boolean: boolean;
}

/** The field when it is of that type. */
export function fieldOf<K extends keyof Kinds>(
  fields: Readonly<Record<string, unknown>>,
  name: string,
  kind: K,
): Kinds[K] | undefined {
  const value = fields[name];
  return typeof value === kind ? (value as Kinds[K]) : undefined;
}
