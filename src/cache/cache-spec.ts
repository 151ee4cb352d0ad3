// The `--cache-from` and `--cache-to` options: CSV of `key=value` as buildx reads it, or a bare image name.
import { type ImageReference, parseReference, withDefaultTag } from '../../frontend/reference.ts';
import { type Digest, isDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { parseCSVLine } from '../export/csv-line.ts';
import type { Compression } from '../image/compress.ts';
import type { Environment } from '../sys/environment.ts';
import {
  readS3Place,
  readS3Upload,
  S3_KEYS,
  S3_UPLOAD_KEYS,
  type S3Place,
  type S3Upload,
  withoutSecrets,
} from './s3-spec.ts';

/** Where a cache is read from. Directories are as written. */
export type CacheImportSpec =
  | { readonly kind: 'registry'; readonly reference: ImageReference }
  | { readonly kind: 'local'; readonly directory: string; readonly tag?: string; readonly digest?: Digest }
  | { readonly kind: 's3'; readonly place: S3Place };

/** `min`: results of the image's own steps; `max`: of all steps. */
export type CacheMode = 'min' | 'max';

interface CacheExportOptions {
  readonly mode: CacheMode;
  /** One manifest, else an index whose entries are the layers. */
  readonly isImageManifest: boolean;
  /** Media types of OCI, else of Docker. */
  readonly hasOCITypes: boolean;
  readonly compression: Compression;
  readonly level?: number;
  /** Compress also what was pulled in another form. */
  readonly isForced: boolean;
  /** A failure is a warning, unless `ignore-error=false` was given. */
  readonly ignoresErrors: boolean;
  /** Also the files of cache mounts. */
  readonly hasMounts?: true;
}

/** Where a cache is written to. */
export type CacheExportSpec =
  | ({ readonly kind: 'registry'; readonly reference: ImageReference } & CacheExportOptions)
  | ({ readonly kind: 'local'; readonly directory: string; readonly tag: string } & CacheExportOptions)
  | ({ readonly kind: 's3'; readonly place: S3Place; readonly upload: S3Upload } & CacheExportOptions)
  | { readonly kind: 'inline' };

const LAYER_KEYS = ['mode', 'compression', 'compression-level', 'force-compression', 'ignore-error'];
const COMMON_KEYS = [...LAYER_KEYS, 'image-manifest', 'oci-mediatypes', 'mounts'];
const IMPORT_KEYS: Readonly<Record<string, readonly string[]>> = {
  registry: ['ref'],
  local: ['src', 'tag', 'digest'],
  s3: S3_KEYS,
};
const EXPORT_KEYS: Readonly<Record<string, readonly string[]>> = {
  registry: ['ref', ...COMMON_KEYS],
  local: ['dest', 'tag', ...COMMON_KEYS],
  s3: [...S3_KEYS, ...S3_UPLOAD_KEYS, ...LAYER_KEYS],
  inline: ['mode'],
};

/** Throws TSB_USAGE_CACHE with exit code 2; the environment may name the bucket of an S3 cache. */
export function parseCacheImport(text: string, environment: Environment = {}): CacheImportSpec {
  const flag = new CacheFlag('--cache-from', text, IMPORT_KEYS);
  if (flag.type === 'registry') return { kind: 'registry', reference: flag.reference('ref') };
  if (flag.type === 's3') return { kind: 's3', place: readS3Place(flag, environment) };
  const tag = flag.get('tag');
  const digest = flag.get('digest');
  if (digest !== undefined && !isDigest(digest)) throw flag.invalid(`"${digest}" is no digest`);
  return {
    kind: 'local',
    directory: flag.required('src'),
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
}

/** See parseCacheImport. */
export function parseCacheExport(text: string, environment: Environment = {}): CacheExportSpec {
  const flag = new CacheFlag('--cache-to', text, EXPORT_KEYS);
  if (flag.type === 'inline') {
    if ((flag.get('mode') ?? 'min') !== 'min') throw flag.invalid('an inline cache is mode=min');
    return { kind: 'inline' };
  }
  const options = exportOptions(flag);
  if (flag.type === 'registry') return { kind: 'registry', reference: flag.reference('ref'), ...options };
  if (flag.type === 's3') {
    return { kind: 's3', place: readS3Place(flag, environment), upload: readS3Upload(flag), ...options };
  }
  return { kind: 'local', directory: flag.required('dest'), tag: flag.get('tag') ?? 'latest', ...options };
}

function exportOptions(flag: CacheFlag): CacheExportOptions {
  const mode = flag.get('mode') ?? 'min';
  if (mode !== 'min' && mode !== 'max') throw flag.invalid(`there is no mode "${mode}"`, 'modes are min and max');
  const compression = flag.get('compression') ?? 'gzip';
  if (compression !== 'gzip' && compression !== 'zstd' && compression !== 'uncompressed') {
    throw flag.invalid(`there is no compression "${compression}"`, 'compressions are gzip, zstd, uncompressed');
  }
  const hasOCITypes = flag.boolean('oci-mediatypes', true);
  const isImageManifest = flag.boolean('image-manifest', hasOCITypes);
  if (isImageManifest && !hasOCITypes) throw flag.invalid('image-manifest=true needs oci-mediatypes=true');
  if (compression === 'zstd' && !hasOCITypes) throw flag.invalid('compression=zstd needs oci-mediatypes=true');
  const level = flag.get('compression-level');
  if (level !== undefined && !/^\d{1,2}$/.test(level)) throw flag.invalid(`compression-level=${level} is no level`);
  const mostLevel = compression === 'zstd' ? 22 : 9;
  if (Number(level ?? 0) > mostLevel) {
    const reason = `compression-level=${level} does not fit compression=${compression}`;
    throw flag.invalid(reason, `levels of ${compression} are 0 to ${mostLevel}`);
  }
  return {
    mode,
    isImageManifest,
    hasOCITypes,
    compression,
    ...(level !== undefined && { level: Number(level) }),
    isForced: flag.boolean('force-compression', false),
    ignoresErrors: flag.boolean('ignore-error', true),
    ...(flag.boolean('mounts', false) && { hasMounts: true }),
  };
}

/** One flag's text as attributes. */
class CacheFlag {
  readonly type: string;
  readonly #flag: string;
  readonly #text: string;
  readonly #attributes = new Map<string, string>();

  constructor(flag: string, text: string, keys: Readonly<Record<string, readonly string[]>>) {
    this.#flag = flag;
    this.#text = text;
    const fields = parseCSVLine(text);
    if (fields === undefined) throw this.invalid('its quotes do not match');
    if (fields.every((field) => !field.includes('='))) {
      // As in `--cache-from me/app:cache`, several of them separated by commas are not one name.
      this.#attributes.set('type', 'registry').set('ref', text);
    } else for (const field of fields) this.#add(field);
    this.type = this.required('type');
    this.#checkKeys(keys);
  }

  get(key: string): string | undefined {
    return this.#attributes.get(key);
  }

  required(key: string): string {
    const value = this.#attributes.get(key) ?? '';
    if (value !== '') return value;
    throw this.invalid(key === 'type' ? 'it has no type' : `type=${this.type} needs ${key}=`);
  }

  reference(key: string): ImageReference {
    const text = this.required(key);
    try {
      return withDefaultTag(parseReference(text));
    } catch (error) {
      if (!(error instanceof TsbuildError)) throw error;
      throw this.invalid(`"${text}" is no image name: ${error.message}`);
    }
  }

  /** As Go's strconv.ParseBool. */
  boolean(key: string, byDefault: boolean): boolean {
    const value = this.#attributes.get(key);
    if (value === undefined) return byDefault;
    if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true;
    if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false;
    throw this.invalid(`${key}=${value} is neither true nor false`);
  }

  invalid(reason: string, hint?: string): TsbuildError {
    const text = withoutSecrets(this.#text);
    return new TsbuildError('TSB_USAGE_CACHE', `invalid ${this.#flag} "${text}": ${reason}`, {
      exitCode: 2,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #add(field: string): void {
    const at = field.indexOf('=');
    // What follows a comma in a secret is a part of it.
    const shown = withoutSecrets(this.#text) === this.#text ? `"${field}"` : 'a part';
    if (at < 0) throw this.invalid(`${shown} has no "="`, 'write key=value, separated by commas');
    this.#attributes.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1));
  }

  #checkKeys(types: Readonly<Record<string, readonly string[]>>): void {
    const keys = Object.hasOwn(types, this.type) ? types[this.type] : undefined;
    if (keys === undefined) {
      throw this.invalid(`there is no type "${this.type}"`, `types are ${Object.keys(types).join(', ')}`);
    }
    for (const key of this.#attributes.keys()) {
      if (key === 'type' || keys.includes(key)) continue;
      throw this.invalid(`type=${this.type} has no option "${key}"`, `its options are ${keys.join(', ')}`);
    }
  }
}
