// The JSON (exec) form of an instruction's arguments.
import { dockerfileError } from './errors.ts';
import { trimSpaceStart } from './go-text.ts';

/**
 * The strings of a JSON array that is the whole text. Undefined when the text is not a JSON array: then it is shell
 * form, however much it looks like JSON. An array with anything but strings is an error.
 */
export function parseJSONForm(text: string): readonly string[] | undefined {
  const start = trimSpaceStart(text);
  if (!start.startsWith('[')) return undefined;
  const value = parseJSON(start);
  if (!Array.isArray(value)) return undefined;
  if (value.every((item): item is string => typeof item === 'string')) return value;
  throw dockerfileError('JSON_NOT_STRINGS', 'when using JSON array syntax, arrays must be comprised of strings only', {
    hint: 'quote every element of the array',
  });
}

function parseJSON(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
