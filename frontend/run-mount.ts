// `RUN --mount=type=…,key=value,…` and `RUN --device=…`.
import type { CacheSharing, MountType } from '../solver/op.ts';
import { readCSVFields } from './csv-fields.ts';
import { dockerfileError } from './errors.ts';
import { parseGoBool, quoteGo } from './go-text.ts';
import { absolutePath } from './image-path.ts';
import { didYouMean } from './suggest.ts';

/** A mount as written, defaults filled in only where BuildKit's parser does: `type` and `readonly`. */
export interface RunMount {
  readonly type: MountType;
  readonly from: string | undefined;
  readonly source: string | undefined;
  readonly target: string | undefined;
  readonly readonly: boolean;
  /** tmpfs only. */
  readonly sizeBytes: number | undefined;
  /** cache only; undefined means shared. */
  readonly sharing: CacheSharing | undefined;
  /** `id`: of a cache, a secret or an agent. */
  readonly cacheID: string | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly required: boolean;
  /** The variable that gets a secret's value. */
  readonly env: string | undefined;
}

const TYPES: readonly MountType[] = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'];
const SHARINGS: readonly CacheSharing[] = ['shared', 'private', 'locked'];
const KEYS = [
  ...['type', 'from', 'source', 'target', 'readonly', 'id', 'sharing', 'required', 'size', 'mode', 'uid', 'gid'],
  ...['src', 'dst', 'destination', 'ro', 'rw', 'readwrite', 'env'],
];

/**
 * Reads a mount. `expand` is applied to each value but `from`'s; without it the text is taken as expanded. Throws
 * TSB_DOCKERFILE_MOUNT with BuildKit's texts, without a place.
 */
export function parseMount(text: string, expand: (value: string) => string = (value) => value): RunMount {
  const draft: MountDraft = { type: 'bind', required: false };
  for (const field of readFields(text, 'mounts')) {
    const { key, value } = splitField(field);
    if (value === undefined) applyBareKey(draft, key, field);
    else applyPair(draft, key, key === 'from' ? value : expand(value), field);
  }
  checkDraft(draft);
  const { type, from, source, target, sizeBytes, sharing, cacheID, mode, uid, gid, required, env } = draft;
  const readonly = draft.readonly ?? (type !== 'cache' && type !== 'tmpfs');
  return { type, from, source, target, readonly, sizeBytes, sharing, cacheID, mode, uid, gid, required, env };
}

/** What can be said of a mount before its variables are known: it can be split, and `from` has none. */
export function checkMount(text: string): void {
  for (const field of readFields(text, 'mounts')) {
    const { key, value = '' } = splitField(field);
    if (key === 'from' && /\$./.test(value)) {
      fail(`'${key}' doesn't support variable expansion, define alias stage instead`);
    }
  }
}

/** The path of a bind, cache or tmpfs mount inside: relative ones start at `workdir`. Throws for the root itself. */
export function resolveMountTarget(target: string | undefined, workdir: string): string {
  const path = absolutePath(workdir, target ?? '');
  return path === '/' ? fail('invalid mount target "/"') : path;
}

/** Checks a `--device` value. */
export function checkDevice(text: string): void {
  let name: string | undefined;
  for (const field of readFields(text, 'devices')) {
    const { key, value } = splitField(field);
    if (key === 'required') {
      if (value !== undefined) readBool(key, value);
    } else if (value !== undefined && key === 'name') {
      if (name !== undefined) fail(`device name already set to ${name}`);
      name = value;
    } else if (name === undefined) name = field;
    else if (value === undefined) fail(`invalid field '${field}' must be a key=value pair`);
    else fail(didYouMean(`unexpected key '${key}' in '${field}'`, key, ['name', 'required']));
  }
}

type MountDraft = { -readonly [K in keyof RunMount]?: RunMount[K] } & { type: MountType; required: boolean };

function readFields(text: string, what: string): readonly string[] {
  const read = readCSVFields(text);
  return read.problem === undefined ? read.fields : fail(`failed to parse csv ${what}: ${read.problem}`);
}

function splitField(field: string): { key: string; value: string | undefined } {
  const at = field.indexOf('=');
  if (at < 0) return { key: field.toLowerCase(), value: undefined };
  return { key: field.slice(0, at).toLowerCase(), value: field.slice(at + 1) };
}

function applyBareKey(draft: MountDraft, key: string, field: string): void {
  if (key === 'readonly' || key === 'ro') draft.readonly = true;
  else if (key === 'readwrite' || key === 'rw') draft.readonly = false;
  else if (key === 'required') {
    requireType(draft, key, ['secret', 'ssh']);
    draft.required = true;
  } else fail(`invalid field '${field}' must be a key=value pair`);
}

function applyPair(draft: MountDraft, key: string, value: string, field: string): void {
  const apply = Object.hasOwn(APPLY, key) ? APPLY[key] : undefined;
  if (apply === undefined) fail(didYouMean(`unexpected key '${key}' in '${field}'`, key, KEYS));
  else apply(draft, value, key);
}

type Apply = (draft: MountDraft, value: string, key: string) => void;

const setSource: Apply = (draft, value) => {
  draft.source = value;
};
const setTarget: Apply = (draft, value) => {
  draft.target = value;
};
const setReadonly: Apply = (draft, value, key) => {
  draft.readonly = readBool(key, value);
};
const setReadwrite: Apply = (draft, value, key) => {
  draft.readonly = !readBool(key, value);
};

const APPLY: Readonly<Record<string, Apply>> = {
  type: (draft, value) => {
    draft.type = oneOf(TYPES, value) ?? fail(didYouMean(`unsupported mount type ${quoteGo(value)}`, value, TYPES));
  },
  from: (draft, value) => {
    draft.from = value;
  },
  source: setSource,
  src: setSource,
  target: setTarget,
  dst: setTarget,
  destination: setTarget,
  readonly: setReadonly,
  ro: setReadonly,
  readwrite: setReadwrite,
  rw: setReadwrite,
  required: (draft, value, key) => {
    requireType(draft, key, ['secret', 'ssh']);
    draft.required = readBool(key, value);
  },
  size: (draft, value, key) => {
    requireType(draft, key, ['tmpfs']);
    draft.sizeBytes = parseSize(value) ?? fail(`invalid value for ${key}: ${value}`);
  },
  id: (draft, value) => {
    draft.cacheID = value;
  },
  sharing: (draft, value) => {
    draft.sharing =
      oneOf(SHARINGS, value) ?? fail(didYouMean(`unsupported sharing value ${quoteGo(value)}`, value, SHARINGS));
  },
  mode: (draft, value) => {
    draft.mode = readNumber('mode', value, 8);
  },
  uid: (draft, value) => {
    draft.uid = readNumber('uid', value, 10);
  },
  gid: (draft, value) => {
    draft.gid = readNumber('gid', value, 10);
  },
  env: (draft, value) => {
    draft.env = value;
  },
};

function checkDraft(draft: MountDraft): void {
  const { type, sharing } = draft;
  if (type === 'bind' || type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const) {
      if (draft[key] !== undefined) fail(`${key} not allowed for ${quoteGo(type)} type mounts`);
    }
  }
  if (type === 'secret') checkSecret(draft);
  if (sharing !== undefined && type !== 'cache') fail(`invalid cache sharing set for ${type} mount`);
}

function checkSecret({ from = '', sharing, source = '', target = '', cacheID = '' }: MountDraft): void {
  if (from !== '') fail('secret mount should not have a from');
  if (sharing !== undefined) fail('secret mount should not define sharing');
  if (source === '' && target === '' && cacheID === '') {
    fail('invalid secret mount. one of source, target required');
  }
  if (source !== '' && cacheID !== '') fail("both source and id can't be set");
}

function requireType(draft: MountDraft, key: string, types: readonly MountType[]): void {
  if (!types.includes(draft.type)) fail(`unexpected key '${key}' for mount type '${draft.type}'`);
}

function oneOf<T extends string>(values: readonly T[], text: string): T | undefined {
  return values.find((value) => value === text.toLowerCase());
}

function readBool(key: string, value: string): boolean {
  return parseGoBool(value) ?? fail(`invalid value for ${key}: ${value}`);
}

function readNumber(key: string, text: string, base: 8 | 10): number {
  const digits = base === 8 ? /^[0-7]+$/ : /^\d+$/;
  const value = digits.test(text) ? Number.parseInt(text, base) : Number.NaN;
  return value < 2 ** 32 ? value : fail(`invalid value ${text} for ${key}`);
}

const SIZE = /^(\d+(?:\.\d*)?|\.\d+) ?([kmgtp]?)(?:i?b)?$/i;

/** docker/go-units' RAMInBytes: powers of 1024, `100m`, `1.5GiB`. */
function parseSize(text: string): number | undefined {
  const [, amount, unit = ''] = SIZE.exec(text) ?? [];
  return amount === undefined
    ? undefined
    : Math.trunc(Number(amount) * 1024 ** ' kmgtp'.indexOf(unit.toLowerCase() || ' '));
}

function fail(message: string): never {
  throw dockerfileError('MOUNT', message);
}
