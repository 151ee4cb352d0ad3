// Small images made in memory, pushed to a registry or written as an OCI layout.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';
import { type Digest, digestHex, digestOf } from '../../solver/digest.ts';
import { type Descriptor, MEDIA_TYPES } from '../../src/image/descriptor.ts';

export interface FixtureImage {
  /** Of the manifest or index. */
  readonly root: Descriptor;
  readonly blobs: ReadonlyMap<Digest, Buffer>;
  /** Manifests and indexes, innermost first. */
  readonly manifests: readonly Descriptor[];
  readonly layers: readonly Descriptor[];
  readonly config: Descriptor;
}

interface FixtureOptions {
  /** Uncompressed. */
  readonly layers: readonly Buffer[];
  readonly config?: Readonly<Record<string, unknown>>;
  readonly diffIDs?: readonly string[];
  readonly layerType?: string;
  readonly isDocker?: boolean;
  readonly compress?: (tar: Buffer) => Buffer;
}

interface FixtureFile extends Partial<Header> {
  readonly content?: string | Buffer;
}

/** A tar with the files in their order. */
export async function tarOf(files: readonly FixtureFile[]): Promise<Buffer> {
  const tar = pack();
  for (const { content = '', ...header } of files) tar.entry({ name: '', mtime: new Date(0), ...header }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function makeImage(options: FixtureOptions): FixtureImage {
  const { isDocker = false, compress = gzipSync } = options;
  const blobs = new Map<Digest, Buffer>();
  const add = (bytes: Buffer, mediaType: string): Descriptor => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const layerType = options.layerType ?? (isDocker ? MEDIA_TYPES.dockerLayerGzip : MEDIA_TYPES.ociLayerGzip);
  const layers = options.layers.map((tar) => add(compress(tar), layerType));
  const config = add(
    json({
      architecture: 'amd64',
      os: 'linux',
      created: '2024-01-02T03:04:05Z',
      ...options.config,
      rootfs: { type: 'layers', diff_ids: options.diffIDs ?? options.layers.map((tar) => digestOf(tar)) },
    }),
    isDocker ? MEDIA_TYPES.dockerConfig : MEDIA_TYPES.ociConfig,
  );
  const mediaType = isDocker ? MEDIA_TYPES.dockerManifest : MEDIA_TYPES.ociManifest;
  const root = add(json({ schemaVersion: 2, mediaType, config, layers }), mediaType);
  return { root, blobs, manifests: [root], layers, config };
}

/** An index over images; a descriptor's fields come from the second of each pair. */
export function makeIndex(
  images: readonly (readonly [FixtureImage, Partial<Descriptor>])[],
  isDocker = false,
): FixtureImage {
  const mediaType = isDocker ? MEDIA_TYPES.dockerManifestList : MEDIA_TYPES.ociIndex;
  const manifests = images.map(([image, fields]) => ({ ...image.root, ...fields }));
  const bytes = json({ schemaVersion: 2, mediaType, manifests });
  const root = { mediaType, digest: digestOf(bytes), size: bytes.length };
  const [first] = images;
  return {
    root,
    blobs: new Map([...images.flatMap(([image]) => [...image.blobs]), [root.digest, bytes]]),
    manifests: [...images.flatMap(([image]) => image.manifests), root],
    layers: images.flatMap(([image]) => image.layers),
    config: first === undefined ? root : first[0].config,
  };
}

/** Pushes all and tags the root. */
export async function pushImage(
  host: string,
  repository: string,
  tag: string,
  image: FixtureImage,
  authorization?: string,
): Promise<void> {
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const base = `http://${host}/v2/${repository}`;
  const manifests = new Map(image.manifests.map((manifest) => [manifest.digest, manifest]));
  for (const [digest, bytes] of image.blobs) {
    if (manifests.has(digest)) continue;
    const begun = await check(fetch(`${base}/blobs/uploads/`, { method: 'POST', headers }));
    const location = new URL(begun.headers.get('location') ?? '', base);
    location.searchParams.set('digest', digest);
    const type = { 'content-type': 'application/octet-stream' };
    await check(fetch(location, { method: 'PUT', headers: { ...headers, ...type }, body: new Uint8Array(bytes) }));
  }
  for (const { digest, mediaType } of image.manifests) {
    const name = digest === image.root.digest ? tag : digest;
    const body = new Uint8Array(image.blobs.get(digest) ?? Buffer.alloc(0));
    const type = { 'content-type': mediaType };
    await check(fetch(`${base}/manifests/${name}`, { method: 'PUT', headers: { ...headers, ...type }, body }));
  }
}

/** Writes an OCI layout; each root may carry annotations and a platform. */
export function writeLayout(
  directory: string,
  entries: readonly (readonly [FixtureImage, Partial<Descriptor>])[],
): string {
  mkdirSync(join(directory, 'blobs', 'sha256'), { recursive: true });
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  for (const [image] of entries) {
    for (const [digest, bytes] of image.blobs)
      writeFileSync(join(directory, 'blobs', 'sha256', digestHex(digest)), bytes);
  }
  const manifests = entries.map(([image, fields]) => ({ ...image.root, ...fields }));
  writeFileSync(join(directory, 'index.json'), json({ schemaVersion: 2, manifests }));
  return directory;
}

export function tagged(name: string): Partial<Descriptor> {
  return { annotations: { 'org.opencontainers.image.ref.name': name } };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

async function check(answer: Promise<Response>): Promise<Response> {
  const response = await answer;
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response;
}
