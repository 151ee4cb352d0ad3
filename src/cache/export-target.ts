// Where the blobs and the manifest of a cache go: a registry's repository, or an OCI layout's directory.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import type { ImageReference } from '../../frontend/reference.ts';
import { type Digest, digestHex } from '../../solver/digest.ts';
import { writeError } from '../export/destination.ts';
import { addFile, makeBlobDirectory, replaceFile } from '../export/layout-files.ts';
import { type Descriptor, MEDIA_TYPES, REF_NAME } from '../image/descriptor.ts';
import type { LayerSource } from '../image/layer-sources.ts';
import { parseManifest } from '../image/manifest.ts';
import { encodeLayoutIndex } from '../image/manifest-json.ts';
import { MAX_LAYOUT_INDEX_BYTES } from '../image/oci-layout.ts';
import { Pusher } from '../registry/push.ts';
import { readRegular } from '../sys/read-regular.ts';
import type { ExportCacheOptions, PlacedExportSpec } from './export-cache.ts';
import { findMounts, type ImportCacheOptions } from './import-cache.ts';
import type { MountIndex } from './mount-index.ts';

/** Blobs go before the manifest that names them. */
export interface CacheTarget {
  putLayers(sources: readonly LayerSource[]): Promise<void>;
  putBlob(blob: Descriptor, bytes: Buffer): Promise<void>;
  putManifest(manifest: Descriptor, bytes: Buffer): Promise<void>;
  /** Of the cache that is there now. */
  earlierMounts(): Promise<MountIndex | undefined>;
}

type TargetSpec = Exclude<PlacedExportSpec, { readonly kind: 's3' }>;

/** The place of the spec. */
export async function openTarget(spec: TargetSpec, options: ExportCacheOptions): Promise<CacheTarget> {
  if (spec.kind === 'registry') {
    const pusher = new Pusher({ client: await options.registry(), repository: spec.reference, signal: options.signal });
    return new RegistryTarget(spec.reference, pusher, options);
  }
  return new LayoutTarget(spec, options);
}

class RegistryTarget implements CacheTarget {
  readonly #reference: ImageReference;
  readonly #pusher: Pusher;
  readonly #options: ExportCacheOptions;

  constructor(reference: ImageReference, pusher: Pusher, options: ExportCacheOptions) {
    this.#reference = reference;
    this.#pusher = pusher;
    this.#options = options;
  }

  async putLayers(sources: readonly LayerSource[]): Promise<void> {
    await this.#pusher.pushBlobs(sources);
  }

  async putBlob(descriptor: Descriptor, bytes: Buffer): Promise<void> {
    await this.#pusher.pushBlob({ descriptor, open: async () => Readable.from([bytes]) });
  }

  async putManifest({ mediaType }: Descriptor, bytes: Buffer): Promise<void> {
    await this.#pusher.pushManifest(bytes, mediaType, this.#reference.tag);
  }

  async earlierMounts(): Promise<MountIndex | undefined> {
    return await readMounts({ kind: 'registry', reference: this.#reference }, this.#options);
  }
}

/** What the layout holds under other tags stays; index.json is replaced last, in one step. */
class LayoutTarget implements CacheTarget {
  readonly #spec: Extract<TargetSpec, { readonly kind: 'local' }>;
  readonly #directory: string;
  readonly #options: ExportCacheOptions;

  constructor(spec: Extract<TargetSpec, { readonly kind: 'local' }>, options: ExportCacheOptions) {
    this.#spec = spec;
    this.#directory = resolve(options.cwd, spec.directory);
    this.#options = options;
  }

  async putLayers(sources: readonly LayerSource[]): Promise<void> {
    const { content } = this.#options.rooms;
    for (const { descriptor, fetch } of sources) {
      const path = this.#blobPath(descriptor.digest);
      if (existsSync(path)) continue;
      await fetch();
      this.#write(() => addFile(content.pathOf(descriptor.digest), path));
    }
  }

  async putBlob({ digest }: Descriptor, bytes: Buffer): Promise<void> {
    const path = this.#blobPath(digest);
    if (!existsSync(path)) this.#write(() => replaceFile(path, bytes));
  }

  async putManifest(manifest: Descriptor, bytes: Buffer): Promise<void> {
    const { tag } = this.#spec;
    await this.putBlob(manifest, bytes);
    this.#write(() => {
      replaceFile(join(this.#directory, 'oci-layout'), Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
      const index = join(this.#directory, 'index.json');
      const kept = entriesOf(index).filter(({ annotations }) => annotations?.[REF_NAME] !== tag);
      const manifests = [...kept, { ...manifest, annotations: { [REF_NAME]: tag } }];
      replaceFile(index, encodeLayoutIndex({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }));
    });
  }

  async earlierMounts(): Promise<MountIndex | undefined> {
    const { directory, tag } = this.#spec;
    const index = await readMounts({ kind: 'local', directory, tag }, this.#options);
    // Somebody may have removed files from the directory.
    const packs = index?.packs.filter(({ blob }) => existsSync(this.#blobPath(blob.digest)));
    return packs?.length === index?.packs.length ? index : undefined;
  }

  #blobPath(digest: Digest): string {
    return join(this.#directory, 'blobs', 'sha256', digestHex(digest));
  }

  #write(write: () => void): void {
    try {
      makeBlobDirectory(this.#directory);
      write();
    } catch (error) {
      throw writeError(this.#spec.directory, error);
    }
  }
}

async function readMounts(
  spec: Parameters<typeof findMounts>[0],
  { registry, cwd, signal }: Pick<ImportCacheOptions, 'registry' | 'cwd'> & { readonly signal: AbortSignal },
): Promise<MountIndex | undefined> {
  const source = await findMounts(spec, { registry, cwd, signal });
  if (source === undefined) return undefined;
  const { fetchMountIndex } = await import('./restore-mount.ts');
  return await fetchMountIndex(source, signal);
}

function entriesOf(path: string): readonly Descriptor[] {
  if (!existsSync(path)) return [];
  const parsed = parseManifest(readRegular(path, MAX_LAYOUT_INDEX_BYTES), MEDIA_TYPES.ociIndex, path);
  return parsed.kind === 'index' ? parsed.index.manifests : [];
}
