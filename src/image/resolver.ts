// Image names to images: of this machine, of a registry, or of an OCI layout.
//
// Which one a name means. A name that was built here means that image, without a look at the network. For any other the
// registry is asked, and when it gives no answer, a copy that was pulled earlier stands in, with a warning. With `pull` the
// registry is always asked, and what is here counts only when the registry does not know the name. A digest means the same
// bytes everywhere, so nobody is asked for what is here.
import type { ImageResolver, ResolvedImage, ResolveImageOptions } from '../../frontend/image-resolver.ts';
import { formatPlatform, normalizePlatform, platformMatches } from '../../frontend/platform.ts';
import { formatReference, type ImageReference, parseReference, withDefaultTag } from '../../frontend/reference.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Platform } from '../../solver/op.ts';
import { IMAGE_SCHEME, LAYOUT_SCHEME } from '../../solver/source-schemes.ts';
import type { ContentStore } from '../content/content-store.ts';
import { isUnavailable } from '../registry/errors.ts';
import type { RegistryClient, ResolvedReference } from '../registry/registry-client.ts';
import type { Descriptor } from './descriptor.ts';
import type { BlobOrigin, PulledSource } from './image-source.ts';
import type { ImageStore, ListedImage, ListedTag } from './image-store.ts';
import { MetadataReader } from './metadata-reader.ts';
import { OCILayout, parseLayoutReference } from './oci-layout.ts';
import { RegistryOrigin } from './registry-origin.ts';
import { readLocalSource, resolvedImageOf, sourceOfManifest } from './source-records.ts';
import { StoreOrigin } from './store-origin.ts';

/** Where names are looked up, and for how long: a resolver is for one build. */
export interface StoreImageResolverOptions {
  readonly content: ContentStore;
  readonly images: Pick<ImageStore, 'find'>;
  /** Called when a name has to be asked for; building a client costs time that a local name need not pay. */
  readonly registry: () => RegistryClient | Promise<RegistryClient>;
  /** Relative layout directories are taken from here. */
  readonly workingDir: string;
  /** Asks the registry for every name. */
  readonly pull?: boolean;
  readonly warn?: (message: string) => void;
  readonly signal?: AbortSignal;
}

/** One for a build: within it, a name means the same image each time, and is asked for once. */
export class StoreImageResolver implements ImageResolver {
  readonly #options: StoreImageResolverOptions;
  readonly #resolved = new Map<string, Promise<ResolvedImage>>();
  readonly #asked = new Map<string, Promise<ResolvedReference>>();
  /** By identifier, then by platform. */
  readonly #sources = new Map<string, Map<string, PulledSource>>();

  constructor(options: StoreImageResolverOptions) {
    this.#options = options;
  }

  resolveImage(reference: string, { platform }: ResolveImageOptions): Promise<ResolvedImage> {
    const key = `${platformKey(platform)} ${reference}`;
    const resolved = this.#resolved.get(key) ?? this.#resolve(reference, platform);
    this.#resolved.set(key, resolved);
    return resolved;
  }

  /** What is behind an identifier that this resolver gave out. */
  sourceOf(identifier: string, platform: Platform | undefined): PulledSource {
    const sources = this.#sources.get(identifier);
    const all = [...(sources?.values() ?? [])];
    const key = platform === undefined ? undefined : platformKey(platform);
    // The frontend may run a stage for the platform the image turned out to have instead of the one it asked for.
    const source =
      (key !== undefined && sources?.get(key)) || all.find((one) => platformKey(one.platform) === key) || all[0];
    if (source === undefined) throw new Error(`internal error: image ${identifier} was not resolved`);
    return source;
  }

  async #resolve(reference: string, platform: Platform): Promise<ResolvedImage> {
    const source = reference.startsWith(LAYOUT_SCHEME)
      ? await this.#fromLayout(reference, platform)
      : await this.#fromName(reference, platform);
    const sources = this.#sources.get(source.identifier) ?? new Map<string, PulledSource>();
    this.#sources.set(source.identifier, sources.set(platformKey(platform), source));
    return resolvedImageOf(source);
  }

  async #fromName(written: string, platform: Platform): Promise<PulledSource> {
    const reference = withDefaultTag(parseReference(written));
    try {
      return reference.digest === undefined
        ? await this.#fromTag(reference, platform)
        : await this.#fromRegistry(reference, platform);
    } catch (error) {
      if (!(error instanceof TsbuildError)) throw error;
      const prefix = `${written}: failed to resolve source metadata for ${formatReference(reference)}`;
      throw new TsbuildError(error.code, `${prefix}: ${error.message}`, {
        ...(error.hint !== undefined && { hint: error.hint }),
        cause: error,
      });
    }
  }

  async #fromTag(reference: ImageReference, platform: Platform): Promise<PulledSource> {
    const { pull = false } = this.#options;
    const image = this.#findLocal(reference, platform);
    const local = image === undefined ? undefined : this.#readLocal(reference, image);
    if (local === undefined || image === undefined) return this.#fromRegistry(reference, platform);
    const isBuilt = isNamedHere(image, formatReference(reference));
    if (isBuilt && !pull) return local;
    try {
      return await this.#fromRegistry(reference, platform);
    } catch (error) {
      if (pull ? !(isBuilt && isUnknownName(error)) : !isUnavailable(error)) throw withPullHint(error, pull);
      if (!pull) this.#warnOfEarlierCopy(reference, local, error);
      return local;
    }
  }

  #findLocal(reference: ImageReference, platform: Platform): ListedImage | undefined {
    const { images } = this.#options;
    const name = formatReference(reference);
    const exact = images.find(name, normalizePlatform(platform));
    if (exact !== undefined) return exact;
    const other = images.find(name);
    // A name that leads to one manifest leads there for every platform.
    if (other === undefined) return undefined;
    const resolved = tagOf(other, name)?.resolvedDigest;
    const isOnly = resolved === undefined ? isNamedHere(other, name) : resolved === other.manifestDigest;
    return isOnly || platformMatches(platform, other.platform) ? other : undefined;
  }

  #readLocal(reference: ImageReference, image: ListedImage): PulledSource | undefined {
    const { content } = this.#options;
    const name = formatReference(reference);
    const origin = isNamedHere(image, name) ? new StoreOrigin(content) : this.#originOf(reference);
    return readLocalSource(content, { name, image, origin });
  }

  #warnOfEarlierCopy(reference: ImageReference, local: PulledSource, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    const name = formatReference(reference);
    this.#options.warn?.(
      `using the copy of ${name} pulled earlier (${local.digest}), its registry gave no answer: ${reason}`,
    );
  }

  async #fromRegistry(reference: ImageReference, platform: Platform): Promise<PulledSource> {
    const name = formatReference(reference);
    const descriptor = await this.#ask(reference);
    const origin = this.#originOf(reference);
    const reader = this.#reader(name, origin);
    const chosen = await reader.choose([descriptor], platform);
    const { domain, path, tag, digest: wanted } = reference;
    return sourceOfManifest(chosen, {
      scheme: IMAGE_SCHEME,
      name: formatReference({ domain, path, ...(tag !== undefined && { tag }) }),
      ...(wanted === undefined && { tag: name }),
      digest: descriptor.digest,
      origin,
    });
  }

  async #ask(reference: ImageReference): Promise<Descriptor> {
    const { content } = this.#options;
    const { digest } = reference;
    const size = digest === undefined ? undefined : content.sizeOf(digest);
    // Its media type is in its bytes.
    if (digest !== undefined && size !== undefined) return { mediaType: '', digest, size };
    const name = formatReference(reference);
    const asked = this.#asked.get(name) ?? this.#askRegistry(reference);
    this.#asked.set(name, asked);
    const { descriptor, bytes } = await asked;
    if (bytes !== undefined) content.put(bytes);
    return descriptor;
  }

  async #askRegistry(reference: ImageReference): Promise<ResolvedReference> {
    const registry = await this.#options.registry();
    const { signal } = this.#options;
    const options = signal === undefined ? {} : { signal };
    return reference.digest === undefined
      ? registry.resolve(reference, options)
      : registry.fetchManifest(reference, options);
  }

  async #fromLayout(text: string, platform: Platform): Promise<PulledSource> {
    const reference = parseLayoutReference(text, this.#options.workingDir);
    const layout = new OCILayout(reference.directory);
    const roots = await layout.find(reference);
    const [root] = roots;
    const name = `${reference.directory}${reference.tag === undefined ? '' : `:${reference.tag}`}`;
    const chosen = await this.#reader(`${LAYOUT_SCHEME}${name}`, layout).choose(roots, platform);
    const digest = roots.length === 1 && root !== undefined ? root.digest : chosen.descriptor.digest;
    return sourceOfManifest(chosen, { scheme: LAYOUT_SCHEME, name, digest, origin: layout });
  }

  #originOf(reference: ImageReference): BlobOrigin {
    return new RegistryOrigin(this.#options.registry, reference);
  }

  #reader(name: string, origin: BlobOrigin): MetadataReader {
    const { content, signal } = this.#options;
    return new MetadataReader({ content, origin, name, ...(signal && { signal }) });
  }
}

function tagOf({ tags }: ListedImage, name: string): ListedTag | undefined {
  return tags.find(({ reference }) => reference === name);
}

/** The name was given here, by a build. */
function isNamedHere(image: ListedImage, name: string): boolean {
  return tagOf(image, name)?.isBuilt === true;
}

function platformKey(platform: Platform): string {
  return formatPlatform(normalizePlatform(platform));
}

/** The registry has no such name, or says so by refusing. */
function isUnknownName(error: unknown): boolean {
  const codes = ['TSB_REGISTRY_NOT_FOUND', 'TSB_REGISTRY_UNAUTHORIZED', 'TSB_REGISTRY_TOKEN'];
  return error instanceof TsbuildError && codes.includes(error.code);
}

function withPullHint(error: unknown, pull: boolean): unknown {
  if (!pull || !isUnavailable(error)) return error;
  const hint = `${error.hint ?? ''}; or leave out --pull to use the copy that is here`;
  return new TsbuildError(error.code, error.message, { hint, cause: error.cause });
}
