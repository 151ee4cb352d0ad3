// An image as an OCI image layout, in a tar archive or a directory. With Docker's manifest.json in it `docker load` reads it, too.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
import { constants, copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { familiarName } from '../../frontend/reference.ts';
import { type Digest, digestHex } from '../../solver/digest.ts';
import type { ContentStore } from '../content/content-store.ts';
import { encodeTarHeader, TAR_END_LENGTH, type TarEntry, tarPadding } from '../diff/tar-writer.ts';
import { type Descriptor, type Index, MEDIA_TYPES, REF_NAME } from '../image/descriptor.ts';
import type { WrittenImage } from '../image/image-writer.ts';
import type { WrittenIndex } from '../image/index-writer.ts';
import { encodeLayoutIndex } from '../image/manifest-json.ts';
import { toWholeSeconds } from '../image/timestamp.ts';
import { parseJSON } from '../image/untrusted-json.ts';
import { makeDirectories } from '../sys/make-directories.ts';
import { destError } from './destination.ts';

interface LayoutOptions {
  /** Normalised references such as `docker.io/library/app:1`, each with a tag. */
  readonly names: readonly string[];
  /** Adds manifest.json. */
  readonly hasDockerManifest: boolean;
}

const OCI_LAYOUT = Buffer.from('{"imageLayoutVersion":"1.0.0"}');
const NAME = 'io.containerd.image.name';
const CREATED = 'org.opencontainers.image.created';

/** The archive: directories 0755, blobs 0444, everything at the epoch, names in byte order. Fails when a blob is damaged. */
export async function* layoutArchive(
  content: ContentStore,
  image: WrittenImage | WrittenIndex,
  options: LayoutOptions,
): AsyncGenerator<Uint8Array> {
  yield header('blobs/', 'dir', 0o755, 0);
  yield header('blobs/sha256/', 'dir', 0o755, 0);
  for (const { digest, size } of blobsOf(image)) {
    yield header(`blobs/sha256/${digestHex(digest)}`, 'file', 0o444, size);
    yield* content.open(digest);
    yield Buffer.alloc(tarPadding(size));
  }
  yield* smallFile('index.json', 0o644, encodeLayoutIndex(indexOf(entriesOf(image, options.names))));
  if (options.hasDockerManifest) yield* smallFile('manifest.json', 0o644, dockerManifest(image, options.names));
  yield* smallFile('oci-layout', 0o444, OCI_LAYOUT);
  yield Buffer.alloc(TAR_END_LENGTH);
}

/** The same as a directory. An existing layout keeps its other images; index.json is replaced last, in one step. */
export function writeLayoutDirectory(
  dest: string,
  content: ContentStore,
  image: WrittenImage | WrittenIndex,
  options: LayoutOptions,
): void {
  const entries = entriesOf(image, options.names);
  const kept = existingEntries(dest).filter((entry) => !entries.some((own) => isReplacedBy(entry, own)));
  const blobs = join(dest, 'blobs/sha256');
  const made: string[] = [];
  try {
    makeDirectories(blobs, 0o777, made);
    for (const { digest } of blobsOf(image)) copyBlob(content, digest, join(blobs, digestHex(digest)));
    replaceFile(join(dest, 'oci-layout'), OCI_LAYOUT);
    if (options.hasDockerManifest) replaceFile(join(dest, 'manifest.json'), dockerManifest(image, options.names));
    replaceFile(join(dest, 'index.json'), encodeLayoutIndex(indexOf([...kept, ...entries])));
  } catch (error) {
    // Nothing of ours stays where nothing was.
    if (made[0] !== undefined) rmSync(made[0], { recursive: true, force: true });
    throw error;
  }
}

/** Blobs of the image, each once, in byte order of their digests. */
function blobsOf(image: WrittenImage | WrittenIndex): readonly Descriptor[] {
  const all = 'images' in image ? [image.indexDescriptor, ...image.images.flatMap(ownBlobs)] : ownBlobs(image);
  const byDigest = new Map(all.map((descriptor) => [descriptor.digest, descriptor]));
  return [...byDigest.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

function ownBlobs({ manifestDescriptor, configDescriptor, manifest }: WrittenImage): readonly Descriptor[] {
  return [manifestDescriptor, configDescriptor, ...manifest.layers];
}

/** One entry per name, or one without a name. */
function entriesOf(image: WrittenImage | WrittenIndex, names: readonly string[]): readonly Descriptor[] {
  const [head, first] =
    'images' in image ? [image.indexDescriptor, image.images[0]] : [image.manifestDescriptor, image];
  // The image's own time, not that of the export: equal images make equal archives.
  const created = toWholeSeconds(first?.config.created ?? '');
  const common = created === undefined ? {} : { [CREATED]: created };
  if (names.length === 0) return [{ ...head, annotations: common }];
  return names.map((name) => ({
    ...head,
    annotations: { ...common, [NAME]: name, [REF_NAME]: tagOf(name) },
  }));
}

function tagOf(reference: string): string {
  return reference.slice(reference.lastIndexOf(':') + 1);
}

function indexOf(manifests: readonly Descriptor[]): Index {
  return { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests };
}

function isReplacedBy(entry: Descriptor, own: Descriptor): boolean {
  const name = entry.annotations?.[NAME] ?? entry.annotations?.[REF_NAME];
  if (name === undefined) return entry.digest === own.digest;
  return (
    name === own.annotations?.[NAME] ||
    (entry.annotations?.[NAME] === undefined && name === own.annotations?.[REF_NAME])
  );
}

function existingEntries(dest: string): readonly Descriptor[] {
  const path = join(dest, 'index.json');
  if (!existsSync(path)) return [];
  const parsed = parseJSON(readFileSync(path));
  const isIndex =
    typeof parsed === 'object' && parsed !== null && 'manifests' in parsed && Array.isArray(parsed.manifests);
  if (!isIndex) throw destError(dest, `"${path}" is no image index`, 'give an empty directory or an image layout');
  // Entries pass through as they are; fields unknown here are dropped.
  return parsed.manifests as readonly Descriptor[];
}

function dockerManifest(image: WrittenImage | WrittenIndex, names: readonly string[]): Buffer {
  if ('images' in image) throw new Error('internal error: an index in a Docker archive');
  const blobPath = (digest: Digest): string => `blobs/sha256/${digestHex(digest)}`;
  const entry = {
    Config: blobPath(image.configDescriptor.digest),
    RepoTags: names.length === 0 ? null : names.map(familiarName),
    Layers: image.manifest.layers.map(({ digest }) => blobPath(digest)),
  };
  return Buffer.from(JSON.stringify([entry]));
}

function copyBlob(content: ContentStore, digest: Digest, to: string): void {
  if (existsSync(to)) return;
  // A clone where the file system can; the name appears when it is whole.
  copyFileSync(content.pathOf(digest), `${to}.partial`, constants.COPYFILE_FICLONE);
  renameSync(`${to}.partial`, to);
}

function replaceFile(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(`${path}.partial`, bytes, { mode: 0o644 });
    renameSync(`${path}.partial`, path);
  } catch (error) {
    rmSync(`${path}.partial`, { force: true });
    throw error;
  }
}

function* smallFile(name: string, mode: number, bytes: Buffer): Generator<Uint8Array> {
  yield header(name, 'file', mode, bytes.length);
  yield bytes;
  yield Buffer.alloc(tarPadding(bytes.length));
}

function header(name: string, type: TarEntry['type'], mode: number, size: number): Buffer {
  return encodeTarHeader({ name, type, mode, uid: 0, gid: 0, size, mtimeSeconds: 0 });
}
