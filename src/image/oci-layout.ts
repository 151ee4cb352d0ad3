// An OCI layout directory as the origin of images: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
import { createReadStream, existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Digest, digestHex, isDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { LAYOUT_SCHEME } from '../../solver/source-schemes.ts';
import { readRegular } from '../sys/read-regular.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, MEDIA_TYPES, REF_NAME } from './descriptor.ts';
import type { BlobOrigin, ReadBlobOptions } from './image-source.ts';
import type { LayerPlace } from './lazy-note.ts';
import { isIndexType, parseManifest } from './manifest.ts';

interface LayoutReference {
  /** Absolute. */
  readonly directory: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** Of index.json, which may list the images of a whole registry. */
export const MAX_LAYOUT_INDEX_BYTES: number = 64 * 1024 * 1024;
const MAX_DEPTH = 4;

/** Takes `oci-layout://dir[:tag][@digest]` apart; a relative directory is taken from `workingDir`. Throws TSB_LAYOUT_INVALID. */
export function parseLayoutReference(text: string, workingDir: string): LayoutReference {
  const rest = text.slice(text.startsWith(LAYOUT_SCHEME) ? LAYOUT_SCHEME.length : 0);
  const whole = resolve(workingDir, rest);
  // A directory may have a colon in its name.
  if (rest !== '' && existsSync(join(whole, 'index.json'))) return { directory: whole };
  const [, path = '', tag, digest] = /^(.*?)(?::([^:/@]+))?(?:@([^/@]+))?$/s.exec(rest) ?? [];
  if (path === '') throw new TsbuildError('TSB_LAYOUT_INVALID', `"${text}" names no directory`, { hint: FORM_HINT });
  if (digest !== undefined && !isDigest(digest)) {
    throw new TsbuildError('TSB_LAYOUT_INVALID', `"${text}" has a bad digest "${digest}"`, { hint: FORM_HINT });
  }
  return {
    directory: resolve(workingDir, path),
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
}

const FORM_HINT = 'write it as oci-layout://directory, with :tag or @sha256:… when it holds several images';

/** Errors name the directory. */
export class OCILayout implements BlobOrigin {
  readonly place: LayerPlace;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.place = { kind: 'layout', directory };
  }

  /** What is wrong with the blob's file as far as its length tells: undefined for nothing, else TSB_LAYOUT_DAMAGED. */
  damageOf({ digest, size }: Descriptor, maxBytes: number = Number.POSITIVE_INFINITY): TsbuildError | undefined {
    const stats = statSync(this.#blobPath(digest), { throwIfNoEntry: false });
    const found = stats?.isFile() === true ? stats.size : undefined;
    if (found === size && size <= maxBytes) return undefined;
    const fact = found === undefined ? `lacks blob ${digest}` : `has ${found} bytes for blob ${digest} of ${size}`;
    return new TsbuildError('TSB_LAYOUT_DAMAGED', `OCI layout "${this.#directory}" ${fact}`, {
      hint: 'it is incomplete: write it anew',
    });
  }

  /** What the reference leads to: more than one when index.json itself lists the platforms. Throws TSB_LAYOUT_…. */
  async find({ tag, digest }: LayoutReference): Promise<readonly Descriptor[]> {
    const entries = this.#entries();
    if (digest !== undefined) return [await this.#findDigest(entries, digest)];
    if (tag !== undefined) {
      const tagged = entries.filter((entry) => isTagged(entry, tag));
      if (tagged.length === 0) throw this.#noTag(tag, entries);
      return tagged;
    }
    const latest = entries.filter((entry) => isTagged(entry, 'latest'));
    if (latest.length > 0) return latest;
    if (entries.length === 1 || entries.every((entry) => refName(entry) === undefined)) return entries;
    throw this.#noTag('latest', entries);
  }

  async readManifest(descriptor: Descriptor): Promise<Buffer> {
    this.#checkBlob(descriptor, MAX_MANIFEST_BYTES);
    return readRegular(this.#blobPath(descriptor.digest), MAX_MANIFEST_BYTES);
  }

  async *openBlob(descriptor: Descriptor, { offset = 0, signal }: ReadBlobOptions = {}): AsyncGenerator<Uint8Array> {
    this.#checkBlob(descriptor);
    yield* createReadStream(this.#blobPath(descriptor.digest), {
      start: offset,
      highWaterMark: 256 * 1024,
      ...(signal && { signal }),
    });
  }

  #entries(): readonly Descriptor[] {
    const path = join(this.#directory, 'index.json');
    const bytes = this.#readIndex(path);
    const parsed = parseManifest(bytes, MEDIA_TYPES.ociIndex, `OCI layout "${this.#directory}"`);
    const entries = parsed.kind === 'index' ? parsed.index.manifests : [];
    if (entries.length > 0) return entries;
    throw new TsbuildError('TSB_LAYOUT_INVALID', `OCI layout "${this.#directory}" holds no image`, {
      hint: 'write an image into it first',
    });
  }

  #readIndex(path: string): Buffer {
    try {
      return readRegular(path, MAX_LAYOUT_INDEX_BYTES);
    } catch (cause) {
      const stat = statSync(this.#directory, { throwIfNoEntry: false });
      const fact =
        stat === undefined
          ? 'there is no such directory'
          : stat.isDirectory()
            ? 'it has no index.json'
            : 'it is no directory';
      const isThere = existsSync(path);
      throw new TsbuildError(
        'TSB_LAYOUT_INVALID',
        `"${this.#directory}" is no OCI layout: ${isThere ? 'its index.json cannot be read' : fact}`,
        { hint: 'name a directory with an OCI image layout; an archive must be unpacked first', cause },
      );
    }
  }

  /** Looks into nested indexes, too. */
  async #findDigest(entries: readonly Descriptor[], digest: Digest, depth = 0): Promise<Descriptor> {
    const found = entries.find((entry) => entry.digest === digest);
    if (found !== undefined) return found;
    for (const entry of entries) {
      if (!isIndexType(entry.mediaType) || depth >= MAX_DEPTH) continue;
      const parsed = parseManifest(await this.readManifest(entry), entry.mediaType, `OCI layout "${this.#directory}"`);
      if (parsed.kind !== 'index') continue;
      const nested = await this.#findDigest(parsed.index.manifests, digest, depth + 1).catch(notThere);
      if (nested !== undefined) return nested;
    }
    throw new TsbuildError('TSB_LAYOUT_NOT_FOUND', `${digest}: not found in OCI layout "${this.#directory}"`, {
      hint: `it holds ${entries.map((entry) => entry.digest).join(', ')}`,
    });
  }

  #noTag(tag: string, entries: readonly Descriptor[]): TsbuildError {
    const tags = [...new Set(entries.flatMap((entry) => refName(entry) ?? []))];
    return new TsbuildError('TSB_LAYOUT_NOT_FOUND', `${tag}: not found in OCI layout "${this.#directory}"`, {
      hint: tags.length === 0 ? 'it has no tags: name a digest, or none' : `it has the tags ${tags.join(', ')}`,
    });
  }

  #checkBlob(descriptor: Descriptor, maxBytes?: number): void {
    const damage = this.damageOf(descriptor, maxBytes);
    if (damage !== undefined) throw damage;
  }

  #blobPath(digest: Digest): string {
    return join(this.#directory, 'blobs', 'sha256', digestHex(digest));
  }
}

function refName(entry: Descriptor): string | undefined {
  return entry.annotations?.[REF_NAME];
}

/** Some tools write the whole name there. */
function isTagged(entry: Descriptor, tag: string): boolean {
  const name = refName(entry);
  return name !== undefined && (name === tag || name.endsWith(`:${tag}`));
}

function notThere(error: unknown): undefined {
  if (error instanceof TsbuildError && error.code === 'TSB_LAYOUT_NOT_FOUND') return undefined;
  throw error;
}
