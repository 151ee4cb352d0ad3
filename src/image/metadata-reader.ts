// Manifests, indexes and configs: from the content store when they are there, else from their origin, verified and kept.
import type { ImageConfig } from '../../frontend/image-config.ts';
import { comparePlatforms, formatPlatform, normalizePlatform, platformMatches } from '../../frontend/platform.ts';
import { digestOf } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Platform } from '../../solver/op.ts';
import type { ContentStore } from '../content/content-store.ts';
import { parseImageConfig, platformOf } from './config-reader.ts';
import type { Descriptor, Manifest } from './descriptor.ts';
import type { BlobOrigin } from './image-source.ts';
import { isIndexType, type ParsedManifest, parseManifest } from './manifest.ts';

/** The image for a platform; both blobs are in the content store. */
export interface ChosenManifest {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

interface Candidate {
  readonly descriptor: Descriptor;
  readonly platform: Platform;
}

/** Indexes in indexes, at most so deep: more is an attack. */
const MAX_DEPTH = 4;
const MAX_CONFIG_BYTES = 8 * 1024 * 1024;

interface MetadataReaderOptions {
  readonly content: ContentStore;
  readonly origin: BlobOrigin;
  /** For messages. */
  readonly name: string;
  readonly signal?: AbortSignal;
}

/** Reads the metadata of one image. */
export class MetadataReader {
  readonly #options: MetadataReaderOptions;

  constructor(options: MetadataReaderOptions) {
    this.#options = options;
  }

  /**
   * The manifest for the platform under what a name leads to. A name that leads to one manifest only leads to that one,
   * whatever its platform. Throws TSB_IMAGE_NO_PLATFORM, TSB_IMAGE_….
   */
  async choose(roots: readonly Descriptor[], platform: Platform): Promise<ChosenManifest> {
    const [only, ...others] = roots;
    const root = only !== undefined && others.length === 0 ? { only, parsed: await this.read(only) } : undefined;
    if (root?.parsed.kind === 'manifest') return this.#withConfig(root.only, root.parsed.manifest);
    // An index found by its digest alone has no media type but the one in its bytes.
    const candidates =
      root === undefined ? await this.#candidates(roots, 0) : await this.#candidates(root.parsed.index.manifests, 1);
    const matching = candidates.filter((candidate) => platformMatches(platform, candidate.platform));
    const [best] = matching.sort((left, right) => comparePlatforms(platform, left.platform, right.platform));
    if (best === undefined) throw noPlatform(candidates);
    const parsed = await this.read(best.descriptor);
    if (parsed.kind === 'manifest') return this.#withConfig(best.descriptor, parsed.manifest);
    return this.choose(parsed.index.manifests, platform);
  }

  async read(descriptor: Descriptor): Promise<ParsedManifest> {
    const { content, origin, name } = this.#options;
    const bytes = await this.#load(descriptor, () => origin.readManifest(descriptor, this.#signal()));
    // Only what can be read is kept.
    const parsed = parseManifest(bytes, descriptor.mediaType, name);
    content.put(bytes);
    return parsed;
  }

  async readConfig(descriptor: Descriptor): Promise<ImageConfig> {
    const { content, name } = this.#options;
    const bytes = await this.#load(descriptor, () => this.#collect(descriptor));
    const config = parseImageConfig(bytes, name);
    content.put(bytes);
    return config;
  }

  async #withConfig(descriptor: Descriptor, manifest: Manifest): Promise<ChosenManifest> {
    const config = await this.readConfig(manifest.config);
    if (config.rootfs.diff_ids.length !== manifest.layers.length) {
      const fact = `it has ${manifest.layers.length} layers but its config names ${config.rootfs.diff_ids.length}`;
      throw new TsbuildError('TSB_IMAGE_MANIFEST_INVALID', `${this.#options.name}: bad manifest: ${fact}`, {
        hint: 'the image is damaged, or no container image: use another one',
      });
    }
    return { descriptor, manifest, config };
  }

  /** All that could be chosen, in the order of the indexes. */
  async #candidates(descriptors: readonly Descriptor[], depth: number): Promise<readonly Candidate[]> {
    const found: Candidate[] = [];
    for (const descriptor of descriptors) {
      if (descriptor.platform !== undefined) {
        const platform = declaredPlatform(descriptor.platform);
        if (platform.os !== 'unknown') found.push({ descriptor, platform });
      } else if (!isIndexType(descriptor.mediaType)) {
        found.push(...(await this.#undeclared(descriptor)));
      } else if (depth < MAX_DEPTH) {
        const parsed = await this.read(descriptor);
        if (parsed.kind === 'index') found.push(...(await this.#candidates(parsed.index.manifests, depth + 1)));
      }
    }
    return found;
  }

  /** A manifest whose index does not say what it runs on; its config does, unless it is no image at all. */
  async #undeclared(descriptor: Descriptor): Promise<readonly Candidate[]> {
    if (descriptor.artifactType !== undefined) return [];
    const parsed = await this.read(descriptor);
    if (parsed.kind !== 'manifest') return [];
    const { mediaType } = parsed.manifest.config;
    if (!/image\.(config\.)?v1\+json$/.test(mediaType)) return [];
    return [{ descriptor, platform: normalizePlatform(platformOf(await this.readConfig(parsed.manifest.config))) }];
  }

  async #load(descriptor: Descriptor, fetch: () => Promise<Buffer>): Promise<Buffer> {
    const { content, name } = this.#options;
    if (content.has(descriptor.digest)) return content.read(descriptor.digest);
    const bytes = await fetch();
    const found = digestOf(bytes);
    if (found === descriptor.digest) return bytes;
    throw new TsbuildError('TSB_CONTENT_DIGEST_MISMATCH', `${name}: blob ${descriptor.digest} has digest ${found}`, {
      hint: 'the source sent other bytes than it announced',
    });
  }

  async #collect(descriptor: Descriptor): Promise<Buffer> {
    if (descriptor.size > MAX_CONFIG_BYTES) {
      const fact = `its config has ${descriptor.size} bytes, more than ${MAX_CONFIG_BYTES}`;
      throw new TsbuildError('TSB_IMAGE_CONFIG_INVALID', `${this.#options.name}: bad image config: ${fact}`);
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#options.origin.openBlob(descriptor, this.#signal())) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  #signal(): { readonly signal?: AbortSignal } {
    const { signal } = this.#options;
    return signal === undefined ? {} : { signal };
  }
}

function declaredPlatform(declared: NonNullable<Descriptor['platform']>): Platform {
  const { os, architecture, variant, 'os.version': osVersion } = declared;
  return normalizePlatform({
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    ...(osVersion !== undefined && { osVersion }),
  });
}

function noPlatform(candidates: readonly Candidate[]): TsbuildError {
  const available = [...new Set(candidates.map(({ platform }) => formatPlatform(platform)))];
  const hint =
    available.length === 0
      ? 'it is for no platform at all: use another image'
      : `the image is there for ${available.join(', ')}: choose one of them with --platform`;
  return new TsbuildError('TSB_IMAGE_NO_PLATFORM', 'no match for platform in manifest: not found', { hint });
}
