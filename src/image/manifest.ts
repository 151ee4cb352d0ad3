// Manifests and indexes as they come from outside: checked once here, trusted inside.
// https://github.com/opencontainers/image-spec/blob/main/manifest.md and …/image-index.md
import { isDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { type Descriptor, type Index, type Manifest, MEDIA_TYPES } from './descriptor.ts';
import { asRecord, fieldOf, parseJSON, stringMap } from './untrusted-json.ts';

/** Switched over by `kind`; every descriptor in it has a valid digest and size. */
export type ParsedManifest =
  | { readonly kind: 'manifest'; readonly manifest: Manifest }
  | { readonly kind: 'index'; readonly index: Index };

const INDEX_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerManifestList]);
const KNOWN_TYPES: ReadonlySet<string> = new Set([...INDEX_TYPES, MEDIA_TYPES.ociManifest, MEDIA_TYPES.dockerManifest]);

/** True for the media type of an index or manifest list. */
export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.has(mediaType);
}

/** What the bytes say; `name` is for messages. Throws TSB_IMAGE_MANIFEST_INVALID and TSB_IMAGE_UNSUPPORTED_MANIFEST. */
export function parseManifest(bytes: Uint8Array, mediaType: string, name: string): ParsedManifest {
  const fields = asRecord(parseJSON(bytes));
  if (fields === undefined) throw invalid(name, 'it is no JSON object');
  const stated = typeof fields.mediaType === 'string' ? fields.mediaType : '';
  const type = KNOWN_TYPES.has(mediaType) ? mediaType : stated;
  if (fields.schemaVersion === 1 || /docker\.distribution\.manifest\.v1\+/.test(mediaType)) {
    throw unsupported(name, 'Docker manifest schema 1');
  }
  const hasManifests = Array.isArray(fields.manifests);
  const hasLayers = Array.isArray(fields.layers);
  // Bytes that can be read both ways would stand for two images under one digest.
  if (hasManifests && hasLayers) throw invalid(name, 'it is a manifest and an index at once');
  if (hasManifests && (type === '' || isIndexType(type)))
    return { kind: 'index', index: parseIndex(fields, type, name) };
  if (hasLayers && !isIndexType(type)) return { kind: 'manifest', manifest: parseImageManifest(fields, type, name) };
  if (type !== '' && !KNOWN_TYPES.has(type)) throw unsupported(name, `media type "${type}"`);
  throw invalid(name, 'it has neither layers nor manifests');
}

function parseIndex(fields: Readonly<Record<string, unknown>>, type: string, name: string): Index {
  return {
    schemaVersion: 2,
    mediaType: type === '' ? MEDIA_TYPES.ociIndex : type,
    manifests: parseList(fields.manifests, name),
  };
}

function parseImageManifest(fields: Readonly<Record<string, unknown>>, type: string, name: string): Manifest {
  return {
    schemaVersion: 2,
    mediaType: type === '' ? MEDIA_TYPES.ociManifest : type,
    config: parseDescriptor(fields.config, name),
    layers: parseList(fields.layers, name),
  };
}

function parseList(value: unknown, name: string): readonly Descriptor[] {
  return (Array.isArray(value) ? value : []).map((one) => parseDescriptor(one, name));
}

function parseDescriptor(value: unknown, name: string): Descriptor {
  const fields = asRecord(value);
  const { mediaType, digest, size } = fields ?? {};
  if (typeof mediaType !== 'string') throw invalid(name, 'a descriptor has no media type');
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(name, `bad digest ${JSON.stringify(digest)}`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(name, `bad size ${JSON.stringify(size)} of ${digest}`);
  }
  return { mediaType, digest, size, ...optionalFields(fields ?? {}) };
}

function optionalFields(fields: Readonly<Record<string, unknown>>): Partial<Descriptor> {
  const annotations = stringMap(fields.annotations);
  const platform = parsePlatform(fields.platform);
  const artifactType = fieldOf(fields, 'artifactType', 'string');
  const urls = Array.isArray(fields.urls) ? fields.urls.filter((url) => typeof url === 'string') : [];
  return {
    ...(annotations !== undefined && { annotations }),
    ...(platform !== undefined && { platform }),
    ...(artifactType !== undefined && { artifactType }),
    ...(urls.length > 0 && { urls }),
  };
}

function parsePlatform(value: unknown): Descriptor['platform'] {
  const fields = asRecord(value) ?? {};
  const os = fieldOf(fields, 'os', 'string');
  const architecture = fieldOf(fields, 'architecture', 'string');
  if (os === undefined || architecture === undefined) return undefined;
  const variant = fieldOf(fields, 'variant', 'string');
  const version = fieldOf(fields, 'os.version', 'string');
  return { os, architecture, ...(variant && { variant }), ...(version && { 'os.version': version }) };
}

function invalid(name: string, fact: string): TsbuildError {
  return new TsbuildError('TSB_IMAGE_MANIFEST_INVALID', `${name}: bad manifest: ${fact}`, {
    hint: 'the image is damaged: push it anew, or use another one',
  });
}

function unsupported(name: string, fact: string): TsbuildError {
  return new TsbuildError('TSB_IMAGE_UNSUPPORTED_MANIFEST', `${name}: unsupported manifest: ${fact}`, {
    hint: 'push the image anew with a current tool, as an OCI or Docker schema 2 image',
  });
}
