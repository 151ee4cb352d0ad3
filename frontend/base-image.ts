// Looks base images up through the resolver, each once, and says what a stage or a COPY --from stands on.
import type { SourceRange } from '../solver/errors.ts';
import { TsbuildError } from '../solver/errors.ts';
import type { Platform } from '../solver/op.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { Draft, Tree } from './draft.ts';
import type { ImageConfig } from './image-config.ts';
import type { ImageResolver, ResolvedImage } from './image-resolver.ts';
import { formatPlatform } from './platform.ts';
import { fullName, policedImage } from './policed-source.ts';
import { didYouMean } from './suggest.ts';

interface BaseImageRequest {
  /** As written, for messages. */
  readonly name: string;
  readonly platform: Platform;
  /** True when the platform was asked for in the Dockerfile. */
  readonly isPlatformFixed: boolean;
  readonly range: SourceRange;
  /** Names a typing error may have meant. */
  readonly stageNames: readonly string[];
}

/** An image found: its tree is empty when it has no layers. */
interface BaseImageTree {
  readonly resolved: ResolvedImage;
  readonly platform: Platform;
  readonly createTree: (stepName: string) => Tree;
}

const COMMON_IMAGES = ['alpine', 'busybox', 'centos', 'debian', 'golang', 'ubuntu', 'fedora'];

/** Resolves images once for each name and platform. */
export class BaseImages {
  readonly #resolver: ImageResolver;
  readonly #options: ConvertOptions;
  readonly #lookups = new Map<string, Promise<ResolvedImage>>();

  constructor(resolver: ImageResolver, options: ConvertOptions) {
    this.#resolver = resolver;
    this.#options = options;
  }

  /** Begins the lookup, so that several run at once; a failure is kept for `resolve`. */
  prefetch(name: string, platform: Platform): void {
    this.#lookUp(fullName(name), platform).catch(() => undefined);
  }

  /** The image of a FROM or --from. Throws BuildKit's text with the range. */
  async resolve(request: BaseImageRequest): Promise<BaseImageTree> {
    const reference = fullName(request.name);
    try {
      const resolved = await this.#lookUp(reference, request.platform);
      const platform = this.#platformOf(resolved, request);
      return { resolved, platform, createTree: (name) => imageTree(resolved, platform, name, request.range) };
    } catch (error) {
      throw lookUpError(error, request, reference);
    }
  }

  #lookUp(reference: string, platform: Platform): Promise<ResolvedImage> {
    const key = `${reference} ${formatPlatform(platform)}`;
    const known = this.#lookups.get(key);
    if (known !== undefined) return known;
    const lookUp = this.#ask(reference, platform);
    this.#lookups.set(key, lookUp);
    return lookUp;
  }

  async #ask(reference: string, platform: Platform): Promise<ResolvedImage> {
    const { context } = policedImage(reference, this.#options);
    // A context that a policy puts here was found before.
    const wanted = context.kind === 'image' ? context.reference : reference;
    return await this.#resolver.resolveImage(wanted, { platform });
  }

  /** Without any wish of the user's, the processor the image is for decides, when this machine can run it. */
  #platformOf({ config }: ResolvedImage, { platform, isPlatformFixed }: BaseImageRequest): Platform {
    const { isTargetImplicit, buildPlatform } = this.#options;
    if (isPlatformFixed || isTargetImplicit !== true || isFor(platform, config)) return platform;
    return isFor(buildPlatform, config) ? buildPlatform : platform;
  }
}

function isFor(platform: Platform, config: ImageConfig): boolean {
  return platform.os === config.os && platform.architecture === config.architecture;
}

function imageTree(
  { identifier, attrs, config }: ResolvedImage,
  platform: Platform,
  name: string,
  range: SourceRange,
): Draft | undefined {
  const isEmpty = config.rootfs.diff_ids.length === 0 && config.history.every((entry) => entry.empty_layer === true);
  if (isEmpty) return undefined;
  return {
    sources: [],
    options: { name, range },
    createOp: () => ({ kind: 'source', identifier, attrs, platform }),
  };
}

function lookUpError(error: unknown, request: BaseImageRequest, reference: string): unknown {
  if (!(error instanceof TsbuildError)) return error;
  const { name, range, stageNames } = request;
  const message = didYouMean(wholeMessage(error.message, name, reference), name, [...stageNames, ...COMMON_IMAGES]);
  return new TsbuildError(error.code, message, {
    range,
    exitCode: error.exitCode,
    cause: error.cause,
    ...hintFor(error, request),
  });
}

/** `name: failed to resolve source metadata for reference: …`, however much of it the resolver has said already. */
function wholeMessage(message: string, name: string, reference: string): string {
  const start = `failed to resolve source metadata for ${reference}: `;
  const at = message.indexOf(start);
  const reason = at < 0 ? message : message.slice(at + start.length);
  return `${name}: ${start}${reason}`;
}

/** A name that is also a stage's most likely meant the stage. */
function hintFor({ hint }: TsbuildError, { name, stageNames }: BaseImageRequest): { readonly hint?: string } {
  if (stageNames.includes(name.toLowerCase())) {
    return { hint: `the stage ${name.toLowerCase()} comes later in the file: FROM only finds stages above it` };
  }
  return hint === undefined ? {} : { hint };
}
