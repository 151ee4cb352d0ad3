// One `-o`: checks its destination before the build, and writes the finished image there.
import type { Writable } from 'node:stream';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import { RootView } from '../snapshot/root-view.ts';
import { type AssembledImage, type WrittenImage, writeImage } from '../image/image-writer.ts';
import type { ImageRooms } from '../image/layer-blob-writer.ts';
import type { ImageStore } from '../image/image-store.ts';
import type { LazyLayers } from '../image/lazy-layers.ts';
import type { RegistryClient } from '../registry/registry-client.ts';
import { checkArchiveDest, checkDirectoryDest, writeDestination, writeError } from './destination.ts';
import { layoutArchive, writeLayoutDirectory } from './image-layout.ts';
import { checkLocalDest, writeLocalDirectory } from './local-directory.ts';
import type { OutputSpec } from './output-spec.ts';
import { rootTar } from './root-tar.ts';

interface ExportImageOptions {
  readonly stdout: Writable & { readonly isTTY?: boolean | undefined };
  /** In a user namespace: see LocalDirectoryOptions.keepsOwners. */
  readonly isRootless: boolean;
  readonly signal?: AbortSignal;
  /** Brings what is not here of the layers. */
  readonly lazyLayers?: LazyLayers;
  /** For an output that is pushed: where to, and which images may be in the registry already. */
  readonly registry?: () => Promise<RegistryClient>;
  readonly images?: Pick<ImageStore, 'list'>;
  /** Called when a part begins and when it has ended; ids such as `exporting layers`, `exporting manifest sha256:…`. */
  readonly report?: (id: string, isDone: boolean) => void;
}

/** What came of one `-o`. */
export interface ExportedImage {
  /** The image with its manifest, for outputs that have one. */
  readonly written: WrittenImage | undefined;
  /** What was left out, one sentence each. */
  readonly warnings: readonly string[];
}

/** Throws TSB_OUTPUT_DEST_INVALID, TSB_OUTPUT_WRITE_FAILED: call it before the build, so that no hour is lost for a typo. */
export function checkOutput(spec: OutputSpec, stdout: { readonly isTTY?: boolean | undefined }): void {
  switch (spec.kind) {
    case 'local':
      checkLocalDest(spec.dest);
      return;
    case 'tar':
      checkArchiveDest(spec.dest, stdout);
      return;
    case 'oci':
    case 'docker':
      if (spec.isTar) checkArchiveDest(spec.dest, stdout);
      else checkDirectoryDest(spec.dest, 'leave tar=false out for an archive');
      return;
    case 'image':
    case 'cacheonly':
      return;
  }
}

/**
 * Writes the image as the spec says; `names` are normalised references with tags. For `image` only its blobs are written.
 * Throws TSB_OUTPUT_DEST_INVALID, TSB_OUTPUT_WRITE_FAILED, TSB_LAYER_CHANGED, TSB_STORE_NO_SPACE, the signal's reason.
 */
export async function exportImage(
  rooms: ImageRooms,
  image: AssembledImage,
  names: readonly string[],
  spec: OutputSpec,
  options: ExportImageOptions,
): Promise<ExportedImage> {
  checkOutput(spec, options.stdout);
  switch (spec.kind) {
    case 'cacheonly':
      return { written: undefined, warnings: [] };
    case 'local':
    case 'tar':
      return { written: undefined, warnings: await exportRoot(rooms, image, spec, options) };
    case 'image':
      if (spec.isPush) return { written: await push(rooms, image, names, spec, options), warnings: [] };
      return { written: await write(rooms, image, spec, options), warnings: [] };
    case 'oci':
    case 'docker':
      return { written: await exportLayout(rooms, image, names, spec, options), warnings: [] };
  }
}

type LayoutSpec = Extract<OutputSpec, { readonly kind: 'oci' | 'docker' }>;

async function exportLayout(
  rooms: ImageRooms,
  image: AssembledImage,
  names: readonly string[],
  spec: LayoutSpec,
  options: ExportImageOptions,
): Promise<WrittenImage> {
  const written = await write(rooms, image, spec, options);
  const layout = { names, hasDockerManifest: spec.kind === 'docker' };
  if (spec.isTar) {
    await reported(options, 'sending tarball', () =>
      writeDestination(spec.dest, layoutArchive(rooms.content, written, layout), options),
    );
  } else {
    await reported(options, 'copying files', async () => writeLayout(spec.dest, rooms, written, layout));
  }
  return written;
}

function writeLayout(
  dest: string,
  rooms: ImageRooms,
  written: WrittenImage,
  layout: { readonly names: readonly string[]; readonly hasDockerManifest: boolean },
): void {
  try {
    writeLayoutDirectory(dest, rooms.content, written, layout);
  } catch (error) {
    throw writeError(dest, error);
  }
}

async function push(
  rooms: ImageRooms,
  image: AssembledImage,
  names: readonly string[],
  spec: Extract<OutputSpec, { readonly kind: 'image' }>,
  { lazyLayers, registry, images, signal = new AbortController().signal, report = () => {} }: ExportImageOptions,
): Promise<WrittenImage> {
  if (lazyLayers === undefined || registry === undefined || images === undefined) {
    throw new Error('internal error: an image is pushed without a registry');
  }
  const { pushImage } = await import('./push-image.ts');
  return await pushImage(image, names, spec, { rooms, lazyLayers, registry, images, signal, report });
}

async function write(
  rooms: ImageRooms,
  image: AssembledImage,
  spec: Extract<OutputSpec, { readonly kind: 'oci' | 'docker' | 'image' }>,
  options: ExportImageOptions,
): Promise<WrittenImage> {
  const { compression, level, isForced, annotations } = spec;
  await fetchLayers(image, isForced || spec.rewritesTimestamps === true, options);
  const written = await reported(options, 'exporting layers', () =>
    writeImage(rooms, image, {
      compression,
      isForced,
      rewritesTimestamps: spec.rewritesTimestamps === true,
      ...(level === undefined ? {} : { level }),
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    }),
  );
  await reported(options, `exporting manifest ${written.manifestDescriptor.digest}`, async () => {});
  await reported(options, `exporting config ${written.configDescriptor.digest}`, async () => {});
  return written;
}

/** Whoever wants other bytes than those of the blob needs the files. */
export async function fetchLayers(
  image: AssembledImage,
  needsFiles: boolean,
  { lazyLayers, signal }: Pick<ExportImageOptions, 'lazyLayers' | 'signal'>,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  const head = headOf(image);
  if (needsFiles && head !== undefined) await lazyLayers?.unpackChain(head, options);
  for (const { snapshot } of image.layers) await lazyLayers?.fetchBlob(snapshot, options);
}

async function exportRoot(
  rooms: ImageRooms,
  image: AssembledImage,
  spec: Extract<OutputSpec, { readonly kind: 'local' | 'tar' }>,
  options: ExportImageOptions,
): Promise<readonly string[]> {
  const head = headOf(image);
  const latestMs = epochMsOf(image);
  if (head !== undefined) await options.lazyLayers?.unpackChain(head, options.signal ? { signal: options.signal } : {});
  const tree = new RootView(head === undefined ? [] : rooms.snapshotter.stack(head));
  if (spec.kind === 'tar') {
    await reported(options, 'sending tarball', () => writeDestination(spec.dest, rootTar(tree, latestMs), options));
    return [];
  }
  return reported(options, 'copying files', async () =>
    writeLocalDirectory(spec.dest, tree, {
      keepsOwners: !options.isRootless && process.geteuid?.() === 0,
      ...(latestMs === undefined ? {} : { latestMs }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    }),
  );
}

async function reported<T>({ report }: ExportImageOptions, id: string, run: () => Promise<T>): Promise<T> {
  report?.(id, false);
  const value = await run();
  report?.(id, true);
  return value;
}

/** The latest time that a file of the image may show; undefined without SOURCE_DATE_EPOCH. */
export function epochMsOf({ sourceDateEpoch }: AssembledImage): number | undefined {
  return sourceDateEpoch === undefined ? undefined : sourceDateEpoch * 1000;
}

function headOf(image: AssembledImage): SnapshotName | undefined {
  return image.layers.at(-1)?.snapshot;
}
