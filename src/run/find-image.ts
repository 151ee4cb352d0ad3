// The image of `tsbuild run`: one that is here by its name or ID, else one that can be fetched.
import type { ContainerConfig } from '../../frontend/image-config.ts';
import { formatPlatform, normalizePlatform, parsePlatform, platformMatches } from '../../frontend/platform.ts';
import { fullName } from '../../frontend/policed-source.ts';
import { digestHex } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Platform } from '../../solver/op.ts';
import { LAYOUT_SCHEME } from '../../solver/source-schemes.ts';
import { parseImageConfig, platformOf } from '../image/config-reader.ts';
import type { ListedImage } from '../image/image-store.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import type { Store } from '../store/open-store.ts';
import { hostPlatform } from '../sys/host-platform.ts';

/** Ready to run but for the files of its layers, which may still have to be fetched. */
export interface FoundImage {
  readonly config: ContainerConfig;
  /** The snapshot of its top layer; undefined for an image without layers. */
  readonly snapshot: SnapshotName | undefined;
  readonly platform: Platform;
}

interface FindImageOptions {
  readonly store: Store;
  readonly platform: string | undefined;
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly isRootless: boolean;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly warn: (message: string) => void;
}

const SHORTEST_ID = 4;

/** Throws TSB_RUN_IMAGE_AMBIGUOUS, TSB_RUN_PLATFORM for an image of another platform than the one asked for, and TSB_IMAGE_… and TSB_REGISTRY_… when it has to be fetched and cannot be. */
export async function findImage(name: string, options: FindImageOptions): Promise<FoundImage> {
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform, hostPlatform());
  const { store } = options;
  const image = findByID(store, name) ?? findByName(store, name, options.platform === undefined ? undefined : platform);
  const local = image === undefined ? undefined : readLocal(store, image);
  const found = local ?? (await fetchImage(name, platform, options));
  // An image that is not one of several is used for every platform by a build.
  if (options.platform !== undefined && !platformMatches(platform, found.platform)) {
    const [wanted, actual] = [platform, found.platform].map(formatPlatform);
    throw new TsbuildError('TSB_RUN_PLATFORM', `the image ${name} is for ${actual}, not for ${wanted}`, {
      hint: `leave out --platform, or name ${actual}`,
    });
  }
  return found;
}

function findByID(store: Store, name: string): ListedImage | undefined {
  const hex = /^(?:sha256:)?([0-9a-f]+)$/.exec(name)?.[1];
  if (hex === undefined || hex.length < SHORTEST_ID) return undefined;
  const found = store.images.list().filter(({ configDigest }) => digestHex(configDigest).startsWith(hex));
  if (found.length > 1) {
    throw new TsbuildError('TSB_RUN_IMAGE_AMBIGUOUS', `several images have an ID that starts with ${hex}`, {
      hint: 'write more of it: tsbuild images -q lists the whole IDs',
    });
  }
  return found[0];
}

function findByName(store: Store, name: string, platform: Platform | undefined): ListedImage | undefined {
  if (name.startsWith(LAYOUT_SCHEME)) return undefined;
  const reference = fullName(name);
  const image = store.images.find(reference, normalizePlatform(platform ?? hostPlatform()));
  return image ?? (platform === undefined ? store.images.find(reference) : undefined);
}

function readLocal({ content, snapshotter }: Store, image: ListedImage): FoundImage | undefined {
  const snapshot = image.layers.at(-1)?.snapshot;
  if (content.sizeOf(image.configDigest) === undefined) return undefined;
  if (snapshot !== undefined && !snapshotter.exists(snapshot)) return undefined;
  const { config } = parseImageConfig(content.read(image.configDigest), image.configDigest);
  return { config, snapshot, platform: image.platform };
}

async function fetchImage(name: string, platform: Platform, options: FindImageOptions): Promise<FoundImage> {
  const { store, isRootless, signal, now, warn, cwd, env } = options;
  const { content, snapshotter, images, layerBlobs } = store;
  const [{ StoreImageResolver }, { ImagePuller }] = await Promise.all([
    import('../image/resolver.ts'),
    import('../image/puller.ts'),
  ]);
  const registry = async () => (await import('../registry/open-client.ts')).openRegistryClient(env);
  const resolver = new StoreImageResolver({ content, images, registry, workingDir: cwd, warn, signal });
  const { identifier, config } = await resolver.resolveImage(name, { platform });
  const puller = new ImagePuller({ content, snapshotter, images, layerBlobs, isRootless, now });
  const snapshot = await puller.pull(resolver.sourceOf(identifier, platform), { signal, warn });
  return { config: config.config, snapshot, platform: platformOf(config) };
}
