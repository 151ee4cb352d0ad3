// The attributes of `type=s3`, as BuildKit reads them. Secrets among them are never shown.
import type { TsbuildError } from '../../solver/errors.ts';
import type { S3Bucket } from '../s3/s3-client.ts';
import type { S3Credentials } from '../s3/sign.ts';
import type { Environment } from '../sys/environment.ts';

/** Where a cache is in S3. */
export interface S3Place {
  readonly bucket: S3Bucket;
  /** Before the digests of blobs. */
  readonly blobsPrefix: string;
  /** Before the names of caches. */
  readonly manifestsPrefix: string;
  /** Written under all of them, read under the first. */
  readonly names: readonly string[];
  /** Undefined: those of the environment. */
  readonly credentials?: S3Credentials;
}

/** How a cache is written there. */
export interface S3Upload {
  readonly parallelism: number;
  /** A blob that was not touched for that long is touched. */
  readonly touchAfterMs: number;
}

/** For reading and writing. */
export const S3_KEYS = [
  'bucket',
  'region',
  'name',
  'prefix',
  'blobs_prefix',
  'manifests_prefix',
  'endpoint_url',
  'use_path_style',
  'access_key_id',
  'secret_access_key',
  'session_token',
] as const;

/** For writing only. */
export const S3_UPLOAD_KEYS = ['upload_parallelism', 'touch_refresh'] as const;

/** What is asked of a flag. */
interface S3Attributes {
  get(key: string): string | undefined;
  boolean(key: string, byDefault: boolean): boolean;
  invalid(reason: string, hint?: string): TsbuildError;
}

/** Throws what `attributes.invalid` makes. */
export function readS3Place(attributes: S3Attributes, environment: Environment): S3Place {
  const needed = (key: string, variable: string): string => {
    const value = attributes.get(key) ?? environment[variable] ?? '';
    if (value !== '') return value;
    throw attributes.invalid(`type=s3 needs ${key}= or $${variable}`);
  };
  const endpoint = attributes.get('endpoint_url') ?? '';
  if (endpoint !== '' && !/^https?:$/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : '')) {
    throw attributes.invalid(`endpoint_url=${endpoint} is no URL`, 'write it as https://host[:port]');
  }
  const prefix = attributes.get('prefix') ?? '';
  const credentials = readCredentials(attributes);
  return {
    bucket: {
      bucket: needed('bucket', 'AWS_BUCKET'),
      region: needed('region', 'AWS_REGION'),
      ...(endpoint !== '' && { endpoint }),
      isPathStyle: endpoint !== '' && attributes.boolean('use_path_style', false),
    },
    blobsPrefix: `${prefix}${attributes.get('blobs_prefix') ?? 'blobs/'}`,
    manifestsPrefix: `${prefix}${attributes.get('manifests_prefix') ?? 'manifests/'}`,
    names: (attributes.get('name') ?? 'buildkit').split(';'),
    ...(credentials !== undefined && { credentials }),
  };
}

/** Throws what `attributes.invalid` makes. */
export function readS3Upload(attributes: S3Attributes): S3Upload {
  const parallelism = attributes.get('upload_parallelism') ?? '4';
  if (!/^[1-9]\d{0,2}$/.test(parallelism)) throw attributes.invalid(`upload_parallelism=${parallelism} is no number`);
  const text = attributes.get('touch_refresh') ?? '24h';
  const touchAfterMs = durationMs(text);
  if (touchAfterMs === undefined) throw attributes.invalid(`touch_refresh=${text} is no time`, 'write it as 24h');
  return { parallelism: Number(parallelism), touchAfterMs };
}

function readCredentials(attributes: S3Attributes): S3Credentials | undefined {
  const accessKeyID = attributes.get('access_key_id') ?? '';
  const secretAccessKey = attributes.get('secret_access_key') ?? '';
  const sessionToken = attributes.get('session_token') ?? '';
  if ((accessKeyID === '') !== (secretAccessKey === '')) {
    throw attributes.invalid('access_key_id= and secret_access_key= belong together');
  }
  if (accessKeyID === '') return undefined;
  return { accessKeyID, secretAccessKey, ...(sessionToken !== '' && { sessionToken }) };
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** As Go's time.ParseDuration, whole numbers and fractions. */
function durationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return text === '0' ? 0 : undefined;
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce(
    (sum, [, count, unit = '']) => sum + Number(count) * (UNIT_MS[unit] ?? 0),
    0,
  );
}

const SECRET = /\b(access_key_id|secret_access_key|session_token|(?:gh)?token)(\s*=).*?(?=,\s*"?\s*[a-z_-]+\s*=|$)/gi;

/** A flag's text without what nobody may see. */
export function withoutSecrets(text: string): string {
  return text.replace(SECRET, '$1$2***');
}
