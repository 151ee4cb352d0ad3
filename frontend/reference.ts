// Image names: the familiar form a user types, the full form a registry needs, and the way between them.
// Grammar and error texts: https://github.com/distribution/reference
import type { Digest } from '../solver/digest.ts';
import { isDigest } from '../solver/digest.ts';
import { TsbuildError } from '../solver/errors.ts';

/** A name with its registry and repository always spelled out. */
export interface ImageReference {
  /** Registry host, with its port: `docker.io`, `localhost:5000`. */
  readonly domain: string;
  /** Repository inside the registry: `library/debian`. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const DEFAULT_DOMAIN = 'docker.io';
const OFFICIAL_PREFIX = 'library/';
const MAX_NAME_LENGTH = 255;

const DOMAIN_LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const DOMAIN = `(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const PATH_PART = '[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*';
const TAG = '[\\w][\\w.-]{0,127}';
const DIGEST = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}';
const REFERENCE = new RegExp(`^(${DOMAIN})/(${PATH_PART}(?:/${PATH_PART})*)(?::(${TAG}))?(?:@(${DIGEST}))?$`);
const IMAGE_ID = /^[a-f0-9]{64}$/;

/** The reference that a familiar or full name stands for, without a tag when none is given; throws TSB_REFERENCE_INVALID. */
export function parseReference(name: string): ImageReference {
  if (IMAGE_ID.test(name)) {
    throw invalid(`invalid repository name (${name}), cannot specify 64-byte hexadecimal strings`);
  }
  const [domain, remainder] = splitDomain(name);
  const repository = remainder.split(':', 1)[0] ?? '';
  if (repository.toLowerCase() !== repository) {
    throw invalid(`invalid reference format: repository name (${repository}) must be lowercase`);
  }
  const match = REFERENCE.exec(`${domain}/${remainder}`);
  if (match === null) throw invalid('invalid reference format');
  const [, host = '', path = '', tag, digest] = match;
  if (path.length > MAX_NAME_LENGTH) {
    throw invalid(`repository name must not be more than ${MAX_NAME_LENGTH} characters`);
  }
  return {
    domain: host,
    path,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest: referenceDigest(digest) }),
  };
}

/** The full name: `docker.io/library/debian:latest@sha256:…`. */
export function formatReference(reference: ImageReference): string {
  return `${reference.domain}/${reference.path}${suffix(reference)}`;
}

/** The name as people write it: without `docker.io/` and `library/`. Throws TSB_REFERENCE_INVALID. */
export function familiarName(name: string): string {
  const reference = parseReference(name);
  if (reference.domain !== DEFAULT_DOMAIN) return formatReference(reference);
  const isOfficial =
    reference.path.startsWith(OFFICIAL_PREFIX) && !reference.path.slice(OFFICIAL_PREFIX.length).includes('/');
  return `${isOfficial ? reference.path.slice(OFFICIAL_PREFIX.length) : reference.path}${suffix(reference)}`;
}

/** The reference with tag `latest` when it has neither tag nor digest. */
export function withDefaultTag(reference: ImageReference): ImageReference {
  if (reference.tag !== undefined || reference.digest !== undefined) return reference;
  return { ...reference, tag: 'latest' };
}

/** The error of a digest as the digest grammar words it, or undefined when it is a good one. */
export function digestProblem(text: string): string | undefined {
  const [algorithm = '', hex] = splitOnce(text, ':');
  if (hex === undefined || hex === '' || !/^[a-z0-9]+(?:[+._-][a-z0-9]+)*$/.test(algorithm)) {
    return 'invalid checksum digest format';
  }
  const length = DIGEST_LENGTHS.get(algorithm);
  if (length === undefined) return 'unsupported digest algorithm';
  if (hex.length !== length) return 'invalid checksum digest length';
  return /^[0-9a-f]+$/.test(hex) ? undefined : 'invalid checksum digest format';
}

const DIGEST_LENGTHS: ReadonlyMap<string, number> = new Map([
  ['sha256', 64],
  ['sha384', 96],
  ['sha512', 128],
]);

function suffix(reference: ImageReference): string {
  return `${reference.tag === undefined ? '' : `:${reference.tag}`}${reference.digest === undefined ? '' : `@${reference.digest}`}`;
}

function splitDomain(name: string): readonly [string, string] {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const hasDomain = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first);
  const domain = hasDomain ? first : DEFAULT_DOMAIN;
  const remainder = hasDomain ? name.slice(slash + 1) : name;
  const canonical = domain === 'index.docker.io' ? DEFAULT_DOMAIN : domain;
  const isOfficial = canonical === DEFAULT_DOMAIN && !remainder.includes('/');
  return [canonical, isOfficial ? OFFICIAL_PREFIX + remainder : remainder];
}

function referenceDigest(text: string): Digest {
  const problem = digestProblem(text);
  if (problem !== undefined) throw invalid(problem);
  if (!isDigest(text)) throw invalid('unsupported digest algorithm');
  return text;
}

function splitOnce(text: string, separator: string): readonly [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

function invalid(message: string): TsbuildError {
  return new TsbuildError('TSB_REFERENCE_INVALID', message);
}
