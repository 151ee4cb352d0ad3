// The `-o` option: which exporter, where to, and how. The text is CSV of `key=value`, as buildx reads it.
import { parseGoBool } from '../../frontend/go-text.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Compression } from '../image/compress.ts';
import { parseCSVLine } from './csv-line.ts';

/** How layers are written. */
export interface LayerOutput {
  readonly compression: Compression;
  readonly level?: number;
  /** Also what was pulled in another form. */
  readonly isForced: boolean;
}

/** Common to what writes manifests. */
interface ImageOutput extends LayerOutput {
  /** Names beside those of `-t`, as written. */
  readonly names: readonly string[];
  /** Of the manifest. */
  readonly annotations: Readonly<Record<string, string>>;
  /** See WriteImageOptions. */
  readonly rewritesTimestamps?: true;
}

/** `dest` is a path as written, or `-` for stdout. */
export type OutputSpec =
  | ({ readonly kind: 'oci' | 'docker'; readonly dest: string; readonly isTar: boolean } & ImageOutput)
  | { readonly kind: 'local'; readonly dest: string }
  | { readonly kind: 'tar'; readonly dest: string }
  | ({ readonly kind: 'image'; readonly isPush: boolean } & ImageOutput)
  | { readonly kind: 'cacheonly' };

const IMAGE_KEYS = [
  'name',
  'compression',
  'compression-level',
  'force-compression',
  'oci-mediatypes',
  'rewrite-timestamp',
];
const KEYS: Readonly<Record<string, readonly string[]>> = {
  oci: ['dest', 'tar', ...IMAGE_KEYS],
  docker: ['dest', 'tar', ...IMAGE_KEYS],
  local: ['dest'],
  tar: ['dest'],
  image: ['push', ...IMAGE_KEYS],
  registry: ['push', ...IMAGE_KEYS],
  cacheonly: [],
};
const TYPES = Object.keys(KEYS).join(', ');
const ANNOTATION_PREFIX = 'annotation.';

/** Throws TSB_OUTPUT_INVALID with exit code 2. A bare path is `type=local`, `-` is `type=tar` to stdout. */
export function parseOutput(text: string): OutputSpec {
  const fields = parseCSVLine(text);
  if (fields === undefined) throw invalid(text, 'its quotes do not match');
  if (fields.length === 1 && fields[0] === text && !text.startsWith('type=')) {
    if (text === '') throw invalid(text, 'it is empty', 'give a directory, or type=oci,dest=image.tar');
    return text === '-' ? { kind: 'tar', dest: '-' } : { kind: 'local', dest: text };
  }
  return specOf(text, attributesOf(text, fields));
}

/** Throws TSB_PUSH_NO_NAME. */
export function checkPushNames(names: readonly string[]): void {
  if (names.length > 0) return;
  throw new TsbuildError('TSB_PUSH_NO_NAME', 'cannot push: the image has no name', {
    hint: 'name it with -t registry/name:tag, or with -o type=registry,name=…',
    exitCode: 2,
  });
}

type Attributes = ReadonlyMap<string, string>;

function attributesOf(text: string, fields: readonly string[]): Attributes {
  const attributes = new Map<string, string>();
  for (const field of fields) {
    const at = field.indexOf('=');
    if (at === -1) throw invalid(text, `"${field}" has no "="`, 'write key=value, separated by commas');
    const key = field.slice(0, at).trim();
    // Annotation keys keep their case.
    const isAnnotation = key.toLowerCase().startsWith(ANNOTATION_PREFIX);
    attributes.set(isAnnotation ? key : key.toLowerCase(), field.slice(at + 1));
  }
  return attributes;
}

function specOf(text: string, attributes: Attributes): OutputSpec {
  const type = attributes.get('type');
  if (type === undefined || type === '') throw invalid(text, 'it has no type', `types are ${TYPES}`);
  checkKeys(text, type, attributes);
  switch (type) {
    case 'oci':
    case 'docker':
      return archiveSpec(text, type, attributes);
    case 'local':
    case 'tar':
      return { kind: type, dest: destOf(text, type, attributes) };
    case 'image':
    case 'registry':
      return {
        kind: 'image',
        isPush: booleanOf(text, attributes, 'push', type === 'registry'),
        ...imageOutput(text, attributes),
      };
    default:
      return { kind: 'cacheonly' };
  }
}

function checkKeys(text: string, type: string, attributes: Attributes): void {
  const keys = Object.hasOwn(KEYS, type) ? KEYS[type] : undefined;
  if (keys === undefined) throw invalid(text, `there is no type "${type}"`, `types are ${TYPES}`);
  const isImage = keys.includes('name');
  for (const key of attributes.keys()) {
    if (key === 'type' || keys.includes(key) || (isImage && key.startsWith(ANNOTATION_PREFIX))) continue;
    const hint = keys.length === 0 ? 'it has no options' : `its options are ${keys.join(', ')}`;
    throw invalid(text, `type=${type} has no option "${key}"`, hint);
  }
}

function archiveSpec(text: string, kind: 'oci' | 'docker', attributes: Attributes): OutputSpec {
  const isTar = booleanOf(text, attributes, 'tar', true);
  const dest = destOf(text, kind, attributes);
  if (!isTar && dest === '-') throw invalid(text, 'a directory (tar=false) cannot be written to stdout');
  return { kind, dest, isTar, ...imageOutput(text, attributes) };
}

function destOf(text: string, type: string, attributes: Attributes): string {
  const dest = attributes.get('dest') ?? '';
  if (dest === '') throw invalid(text, `type=${type} needs dest=`, destHint(type));
  if (type === 'local' && dest === '-') {
    throw invalid(text, 'a directory cannot be written to stdout', 'use type=tar,dest=-');
  }
  return dest;
}

function destHint(type: string): string {
  if (type === 'docker') return 'give a file, or dest=- with a pipe to `docker load`';
  return type === 'local' ? 'give a directory' : 'give a file, or - for stdout';
}

function imageOutput(text: string, attributes: Attributes): ImageOutput {
  if (!booleanOf(text, attributes, 'oci-mediatypes', true)) {
    throw invalid(text, 'oci-mediatypes=false is not supported', 'images are written with OCI media types');
  }
  const names = (attributes.get('name') ?? '').split(',').filter((name) => name !== '');
  const annotations = [...attributes].filter(([key]) => key.startsWith(ANNOTATION_PREFIX));
  return {
    names,
    annotations: Object.fromEntries(annotations.map(([key, value]) => [key.slice(ANNOTATION_PREFIX.length), value])),
    ...(booleanOf(text, attributes, 'rewrite-timestamp', false) && { rewritesTimestamps: true as const }),
    ...layerOutput(text, attributes),
  };
}

function layerOutput(text: string, attributes: Attributes): LayerOutput {
  const compression = attributes.get('compression') ?? 'gzip';
  if (compression !== 'gzip' && compression !== 'zstd' && compression !== 'uncompressed') {
    throw invalid(text, `there is no compression "${compression}"`, 'compressions are gzip, zstd, uncompressed');
  }
  const isForced = booleanOf(text, attributes, 'force-compression', false);
  const level = attributes.get('compression-level');
  if (level === undefined) return { compression, isForced };
  const [lowest, highest] = compression === 'zstd' ? [1, 22] : [0, 9];
  if (compression === 'uncompressed' || !/^\d{1,2}$/.test(level) || Number(level) < lowest || Number(level) > highest) {
    const hint =
      compression === 'uncompressed' ? 'leave it out' : `levels of ${compression} are ${lowest} to ${highest}`;
    throw invalid(text, `compression-level=${level} does not fit compression=${compression}`, hint);
  }
  return { compression, isForced, level: Number(level) };
}

function booleanOf(text: string, attributes: Attributes, key: string, byDefault: boolean): boolean {
  const value = attributes.get(key);
  if (value === undefined) return byDefault;
  const bool = parseGoBool(value);
  if (bool !== undefined) return bool;
  throw invalid(text, `${key}=${value} is neither true nor false`);
}

function invalid(text: string, reason: string, hint?: string): TsbuildError {
  return new TsbuildError('TSB_OUTPUT_INVALID', `invalid output "${text}": ${reason}`, {
    exitCode: 2,
    ...(hint === undefined ? {} : { hint }),
  });
}
