// The bytes of manifests and indexes, as BuildKit writes them: fields in the order of Go's structs, annotations sorted.
import { encodeGoJSON, type GoJSONStruct, omitEmptyMap, omitZero } from '../../solver/go-json.ts';
import type { Descriptor, DescriptorPlatform, Index, Manifest } from './descriptor.ts';

/** Indented by two spaces, without a final newline. */
export function encodeManifest(manifest: Manifest): Buffer {
  return indented(manifestStruct(manifest));
}

/** The manifest of a cache: compact. */
export function encodeCompactManifest(manifest: Manifest): Buffer {
  return Buffer.from(encodeGoJSON(manifestStruct(manifest)));
}

function manifestStruct(manifest: Manifest): GoJSONStruct {
  return {
    schemaVersion: manifest.schemaVersion,
    mediaType: manifest.mediaType,
    config: descriptorStruct(manifest.config),
    layers: manifest.layers.map(descriptorStruct),
    annotations: omitEmptyMap(manifest.annotations),
  };
}

/** An index as a blob: indented by two spaces, without a final newline. */
export function encodeIndex(index: Index): Buffer {
  return indented(indexStruct(index));
}

/** An index as a layout's index.json: compact. */
export function encodeLayoutIndex(index: Index): Buffer {
  return Buffer.from(encodeGoJSON(indexStruct(index)));
}

function indexStruct(index: Index): GoJSONStruct {
  return {
    schemaVersion: index.schemaVersion,
    mediaType: index.mediaType,
    manifests: index.manifests.map(descriptorStruct),
    annotations: omitEmptyMap(index.annotations),
  };
}

function descriptorStruct(descriptor: Descriptor): GoJSONStruct {
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    urls: omitZero(descriptor.urls),
    annotations: omitEmptyMap(descriptor.annotations),
    platform: descriptor.platform === undefined ? undefined : platformStruct(descriptor.platform),
    artifactType: omitZero(descriptor.artifactType),
  };
}

function platformStruct(platform: DescriptorPlatform): GoJSONStruct {
  return {
    architecture: platform.architecture,
    os: platform.os,
    'os.version': omitZero(platform['os.version']),
    'os.features': omitZero(platform['os.features']),
    variant: omitZero(platform.variant),
  };
}

/** Go's json.Indent changes nothing but white space; parsing would reorder keys that look like numbers, so text is walked. */
function indented(value: GoJSONStruct): Buffer {
  const tokens = encodeGoJSON(value).match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^"{}[\],:]+/g) ?? [];
  let depth = 0;
  let text = '';
  for (const [at, token] of tokens.entries()) {
    const previous = tokens[at - 1];
    if (token === '}' || token === ']') {
      depth -= 1;
      text += previous === '{' || previous === '[' ? token : `${newline(depth)}${token}`;
      continue;
    }
    if (previous === '{' || previous === '[' || previous === ',') text += newline(depth);
    text += token === ':' ? ': ' : token;
    if (token === '{' || token === '[') depth += 1;
  }
  return Buffer.from(text);
}

function newline(depth: number): string {
  return `\n${'  '.repeat(depth)}`;
}
