// Pushing the finished image: what the registry lacks of its blobs, then the manifest under each name.
import { parseReference } from '../../frontend/reference.ts';
import { type AssembledImage, type WrittenImage, writeImage, writeManifest } from '../image/image-writer.ts';
import type { Descriptor } from '../image/descriptor.ts';
import { type WrittenIndex, writeIndex } from '../image/index-writer.ts';
import { layerSources, type LayerSourcePorts } from '../image/layer-sources.ts';
import { type BlobSource, Pusher } from '../registry/push.ts';
import type { RegistryClient } from '../registry/registry-client.ts';
import { checkPushNames, type OutputSpec } from './output-spec.ts';

type ImageSpec = Extract<OutputSpec, { readonly kind: 'image' }>;

interface PushImageOptions extends LayerSourcePorts {
  readonly registry: () => Promise<RegistryClient>;
  readonly signal: AbortSignal;
  readonly report: (id: string, isDone: boolean) => void;
}

/**
 * Pushes the image under all names (full, with tags). Throws TSB_PUSH_NO_NAME, TSB_REGISTRY_…, TSB_LAYER_CHANGED. Layers of
 * a base image or an imported cache that the registry can take from another repository are not fetched.
 */
export async function pushImage(
  image: AssembledImage,
  names: readonly string[],
  spec: ImageSpec,
  options: PushImageOptions,
): Promise<WrittenImage> {
  checkPushNames(names);
  const { written, sources } = await writeForPush(image, names, spec, options);
  const { manifestDescriptor } = written;
  await pushUnderAll(names, { sources, manifests: [], top: manifestDescriptor }, options);
  return written;
}

/** Pushes the images, and under all names the index that leads to them. Throws as `pushImage` does. */
export async function pushIndex(
  images: readonly AssembledImage[],
  names: readonly string[],
  spec: ImageSpec,
  options: PushImageOptions,
): Promise<WrittenIndex> {
  checkPushNames(names);
  const pushables: PushableImage[] = [];
  for (const image of images) pushables.push(await writeForPush(image, names, spec, options));
  const written = pushables.map((one) => one.written);
  const index = writeIndex(options.rooms, written);
  const blobs: PushedBlobs = {
    sources: pushables.flatMap(({ sources }) => sources),
    manifests: written.map(({ manifestDescriptor }) => manifestDescriptor),
    top: index.indexDescriptor,
  };
  await pushUnderAll(names, blobs, options);
  return index;
}

interface PushableImage {
  readonly written: WrittenImage;
  /** Of its config and its layers. */
  readonly sources: readonly BlobSource[];
}

/** What goes to a repository, in this order. */
interface PushedBlobs {
  readonly sources: readonly BlobSource[];
  readonly manifests: readonly Descriptor[];
  /** What the name leads to. */
  readonly top: Descriptor;
}

async function pushUnderAll(names: readonly string[], blobs: PushedBlobs, options: PushImageOptions): Promise<void> {
  for (const [index, name] of names.entries()) {
    const earlier = names.slice(0, index);
    await pushUnder(
      name,
      { ...blobs, sources: blobs.sources.map((source) => alsoFrom(source, earlier, name)) },
      options,
    );
  }
}

async function writeForPush(
  image: AssembledImage,
  names: readonly string[],
  { compression, level, isForced, annotations: given, rewritesTimestamps }: ImageSpec,
  options: PushImageOptions,
): Promise<PushableImage> {
  const { rooms, lazyLayers, signal } = options;
  const layers = { compression, isForced, signal, ...(level !== undefined && { level }) };
  const annotations = Object.keys(given).length === 0 ? undefined : given;
  const head = image.layers.at(-1)?.snapshot;
  if (rewritesTimestamps === true && head !== undefined) {
    await lazyLayers.unpackChain(head, { signal });
    const common = { ...layers, rewritesTimestamps, ...(annotations !== undefined && { annotations }) };
    const written = await writeImage(rooms, image, common);
    const sources = written.manifest.layers.map((descriptor) => ({
      descriptor,
      open: async () => rooms.content.open(descriptor.digest),
    }));
    return { written, sources: [configSource(written, options), ...sources] };
  }
  const [first] = names.map(parseReference);
  const sources = await layerSources(options, image.layers, { ...layers, ...(first && { domain: first.domain }) });
  const descriptors = sources.map(({ descriptor }) => descriptor);
  const written = writeManifest(rooms, image, descriptors, annotations);
  return { written, sources: [configSource(written, options), ...sources] };
}

function configSource({ configDescriptor }: WrittenImage, { rooms }: PushImageOptions): BlobSource {
  return { descriptor: configDescriptor, open: async () => rooms.content.open(configDescriptor.digest) };
}

async function pushUnder(
  name: string,
  { sources, manifests, top }: PushedBlobs,
  { registry, rooms, signal, report }: PushImageOptions,
): Promise<void> {
  const repository = parseReference(name);
  const pusher = new Pusher({ client: await registry(), repository, signal });
  report(`pushing layers of ${name}`, false);
  await pusher.pushBlobs(sources);
  report(`pushing layers of ${name}`, true);
  for (const { digest, mediaType } of manifests) await pusher.pushManifest(rooms.content.read(digest), mediaType);
  await pusher.pushManifest(rooms.content.read(top.digest), top.mediaType, repository.tag);
  report(`pushing manifest for ${name}@${top.digest}`, true);
}

/** What has been pushed under an earlier name can be had from there. */
function alsoFrom(source: BlobSource, earlier: readonly string[], name: string): BlobSource {
  const { domain, path } = parseReference(name);
  const near = earlier.map(parseReference).filter((one) => one.domain === domain && one.path !== path);
  return { ...source, mountFrom: [...near.map((one) => one.path), ...(source.mountFrom ?? [])] };
}
