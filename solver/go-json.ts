// JSON as Go's encoding/json writes it, byte for byte: cache digests and image configs are digests of such text.
// A plain object is a struct (fields in the order they were written, `undefined` left out); a Map is a Go map (keys
// sorted by bytes); a Uint8Array is base64; `<`, `>`, `&`, U+2028 and U+2029 are escaped, as Go does for HTML.
import { unreachable } from './errors.ts';

/** What can be encoded. Leaving a field out is the caller's part of `omitempty`: see the `omit…` helpers. */
export type GoJSONValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Uint8Array
  | readonly GoJSONValue[]
  | ReadonlyMap<string, GoJSONValue>
  | GoJSONStruct;

/** A struct: fields in insertion order. Use a Map where keys come from a user, also because `"80"` would be reordered here. */
export interface GoJSONStruct {
  readonly [field: string]: GoJSONValue | undefined;
}

/** The value as compact JSON text, as Go's json.Marshal writes it. */
export function encodeGoJSON(value: GoJSONValue): string {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'string':
      return quoteGoJSON(value);
    case 'number':
      return encodeNumber(value);
    case 'bigint':
    case 'boolean':
      return String(value);
    case 'object':
      return encodeObject(value);
    default:
      return unreachable(value);
  }
}

/** The text as a JSON string, as Go's json.Marshal writes it. */
function quoteGoJSON(text: string): string {
  return `"${text.replace(ESCAPED, escapeCharacter)}"`;
}

/** A record with keys from a user as a Go map; undefined when empty, as for a map field with `omitempty`. */
export function omitEmptyMap<Value extends GoJSONValue>(
  record: Readonly<Record<string, Value>> | undefined,
): ReadonlyMap<string, Value> | undefined {
  const entries = Object.entries(record ?? {});
  return entries.length === 0 ? undefined : new Map(entries);
}

/** Undefined for the zero value (empty text, zero, false, empty list), as for a field with `omitempty`. */
export function omitZero<Value extends string | number | boolean | readonly GoJSONValue[]>(
  value: Value | undefined,
): Value | undefined {
  if (value === undefined || value === '' || value === 0 || value === false) return undefined;
  return Array.isArray(value) && value.length === 0 ? undefined : value;
}

// A lone surrogate has no UTF-8 form: Go writes broken text as \ufffd.
const ESCAPED = /["\\<>&\u0000-\u001f\u2028\u2029\p{Surrogate}]/gu;
const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

function escapeCharacter(character: string): string {
  if (!character.isWellFormed()) return '\\ufffd';
  return SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function encodeNumber(value: number): string {
  // A time in ns is a multiple of 10^9 and exact, though it is beyond the safe integers.
  if (!Number.isSafeInteger(value % 1e9 === 0 ? value / 1e9 : value))
    throw new Error(`internal error: ${value} has no exact JSON integer`);
  return String(value === 0 ? 0 : value);
}

function encodeObject(
  value: Uint8Array | readonly GoJSONValue[] | ReadonlyMap<string, GoJSONValue> | GoJSONStruct,
): string {
  if (value instanceof Uint8Array) return `"${Buffer.from(value).toString('base64')}"`;
  if (isList(value)) return `[${value.map(encodeGoJSON).join(',')}]`;
  const fields = value instanceof Map ? sortByKeyBytes([...value]) : Object.entries(value);
  return `{${fields.flatMap(encodeField).join(',')}}`;
}

function isList(value: object): value is readonly GoJSONValue[] {
  return Array.isArray(value);
}

function encodeField([name, value]: [string, GoJSONValue | undefined]): string[] {
  return value === undefined ? [] : [`${quoteGoJSON(name)}:${encodeGoJSON(value)}`];
}

function sortByKeyBytes(entries: [string, GoJSONValue][]): [string, GoJSONValue][] {
  return entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
