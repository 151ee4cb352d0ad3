// A check of JSON against the draft-04 schemas of the OCI image specification: the keywords they use, no more.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const SCHEMAS = fileURLToPath(new URL('../../../shared/corpora/schemas/', import.meta.url));

type Schema = { readonly [keyword: string]: unknown };

/** False where the corpus is not beside the project. */
export const hasSchemas: boolean = existsSync(SCHEMAS);

/** What is wrong with the value, one line each; empty when it conforms to the schema file. */
export function schemaErrors(value: unknown, file: string): readonly string[] {
  return check(value, load(file), file, '$');
}

function load(file: string): Schema {
  return JSON.parse(readFileSync(`${SCHEMAS}${file}`, 'utf8')) as Schema;
}

function check(value: unknown, schema: Schema, file: string, at: string): string[] {
  const errors: string[] = [];
  if (typeof schema.$ref === 'string') {
    const [target = '', pointer = ''] = schema.$ref.split('#');
    const refFile = target === '' ? file : target;
    const found = pointer
      .split('/')
      .filter((part) => part !== '')
      .reduce((node, part) => node[part] as Schema, load(refFile));
    errors.push(...check(value, found, refFile, at));
  }
  if (schema.type !== undefined && ![schema.type].flat().some((type) => isOf(value, type)))
    errors.push(`${at}: no ${schema.type}`);
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) errors.push(`${at}: not in enum`);
  if (typeof schema.pattern === 'string' && typeof value === 'string' && !new RegExp(schema.pattern).test(value)) {
    errors.push(`${at}: ${value} does not match ${schema.pattern}`);
  }
  if (typeof schema.minimum === 'number' && typeof value === 'number' && value < schema.minimum)
    errors.push(`${at}: too small`);
  if (typeof schema.maximum === 'number' && typeof value === 'number' && value > schema.maximum)
    errors.push(`${at}: too large`);
  for (const part of (schema.allOf ?? []) as Schema[]) errors.push(...check(value, part, file, at));
  for (const key of ['anyOf', 'oneOf']) {
    const parts = schema[key] as Schema[] | undefined;
    if (parts && !parts.some((part) => check(value, part, file, at).length === 0)) errors.push(`${at}: ${key}`);
  }
  if (Array.isArray(value) && schema.items) {
    for (const [i, item] of value.entries()) errors.push(...check(item, schema.items as Schema, file, `${at}[${i}]`));
  }
  if (isOf(value, 'object')) errors.push(...checkObject(value as Schema, schema, file, at));
  return errors;
}

function checkObject(value: Schema, schema: Schema, file: string, at: string): string[] {
  const properties = (schema.properties ?? {}) as { readonly [name: string]: Schema };
  const patterns = Object.entries((schema.patternProperties ?? {}) as { readonly [pattern: string]: Schema });
  const errors = ((schema.required ?? []) as string[])
    .filter((name) => !(name in value))
    .map((name) => `${at}: no ${name}`);
  for (const [name, item] of Object.entries(value)) {
    if (properties[name]) errors.push(...check(item, properties[name], file, `${at}.${name}`));
    for (const [pattern, part] of patterns)
      if (new RegExp(pattern).test(name)) errors.push(...check(item, part, file, `${at}.${name}`));
    const isKnown = properties[name] !== undefined || patterns.some(([pattern]) => new RegExp(pattern).test(name));
    if (!isKnown && schema.additionalProperties === false) errors.push(`${at}: unknown ${name}`);
    if (!isKnown && isOf(schema.additionalProperties, 'object'))
      errors.push(...check(item, schema.additionalProperties as Schema, file, `${at}.${name}`));
  }
  return errors;
}

function isOf(value: unknown, type: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  if (type === 'null') return value === null;
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  return typeof value === type;
}
