// The end of a build for several platforms: an index of the images, or a directory for each.
import { join } from 'node:path';
import { formatPlatform, normalizePlatform } from '../../frontend/platform.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Platform } from '../../solver/op.ts';
import { type AssembledImage, type WrittenImage, writeImage } from '../image/image-writer.ts';
import { type WrittenIndex, writeIndex } from '../image/index-writer.ts';
import { RootView } from '../snapshot/root-view.ts';
import type { Session } from '../session.ts';
import { writeDestination } from './destination.ts';
import { epochMsOf, fetchLayers } from './export-image.ts';
import { layoutArchive, writeLayoutDirectory } from './image-layout.ts';
import { writeLocalDirectory } from './local-directory.ts';
import type { LayerOutput, OutputSpec } from './output-spec.ts';
import { splitTar } from './root-tar.ts';
import { manifestOf, namesOf, type PlannedResults, type WriteResultsOptions, writeReports } from './write-results.ts';

/** Throws TSB_OUTPUT_INVALID for an output that holds one platform only: call it before the build. */
export function checkIndexOutputs({ outputs }: PlannedResults): void {
  for (const output of outputs) {
    if (output.kind === 'docker') {
      throw refused('docker exporter does not currently support exporting manifest lists', 'use type=oci');
    }
  }
}

function refused(message: string, hint: string): TsbuildError {
  return new TsbuildError('TSB_OUTPUT_INVALID', message, { exitCode: 2, hint });
}

interface WriteIndexOptions extends Omit<WriteResultsOptions, 'image'> {
  readonly images: readonly AssembledImage[];
}

/** Writes the outputs, names the images, and resolves to the index that leads to them. */
export async function writeIndexResults(options: WriteIndexOptions): Promise<WrittenIndex> {
  const { images, results, session, report } = options;
  report('exporting layers');
  let index: WrittenIndex | undefined;
  for (const output of results.outputs) index = (await writeOutput(output, options)) ?? index;
  if (index === undefined) {
    const { lazyLayers } = options.world;
    for (const image of images) await fetchLayers(image, false, { lazyLayers, signal: session.signal });
    index = await indexOf(images, DEFAULT_LAYERS, session);
  }
  session.signal.throwIfAborted();
  const { digest } = index.indexDescriptor;
  saveImages(images, index, results.names, session);
  report(`exporting manifest list ${digest}`);
  for (const name of results.names) report(`naming to ${name}`);
  reportIndex(index, options);
  return index;
}

/** How the images are written. */
type ImageForm = LayerOutput & {
  readonly annotations: Readonly<Record<string, string>>;
  readonly rewritesTimestamps?: true;
};

const DEFAULT_LAYERS: ImageForm = { compression: 'gzip', isForced: false, annotations: {} };

async function indexOf(
  images: readonly AssembledImage[],
  { compression, level, isForced, annotations, rewritesTimestamps }: ImageForm,
  { store, signal }: Session,
): Promise<WrittenIndex> {
  const written: WrittenImage[] = [];
  for (const image of images) {
    written.push(
      await writeImage(store, image, {
        compression,
        isForced,
        signal,
        rewritesTimestamps: rewritesTimestamps === true,
        ...(level === undefined ? {} : { level }),
        ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      }),
    );
  }
  return writeIndex(store, written);
}

async function writeOutput(
  output: OutputSpec,
  { images, results, session, report, world }: WriteIndexOptions,
): Promise<WrittenIndex | undefined> {
  const { store, stdout, signal } = session;
  const { lazyLayers } = world;
  if (output.kind === 'image' && output.isPush) {
    const { pushIndex } = await import('./push-image.ts');
    return await pushIndex(images, [...results.names, ...namesOf(output)], output, {
      ...world,
      rooms: store,
      images: store.images,
      signal,
      report: (id, isDone) => report(id, undefined, undefined, isDone),
    });
  }
  for (const image of images) await fetchLayers(image, needsFiles(output), { lazyLayers, signal });
  switch (output.kind) {
    case 'cacheonly':
      return undefined;
    case 'local':
      for (const image of images) writeLocal(join(output.dest, directoryOf(image)), image, session);
      return undefined;
    case 'tar': {
      const trees = images.map((image) => [directoryOf(image), rootOf(image, session), epochMsOf(image)] as const);
      await writeDestination(output.dest, splitTar(trees), { stdout, signal });
      return undefined;
    }
    case 'image':
    case 'oci':
    case 'docker': {
      const index = await indexOf(images, output, session);
      if (output.kind === 'image') return index;
      const layout = { names: [...results.names, ...namesOf(output)], hasDockerManifest: false };
      if (!output.isTar) writeLayoutDirectory(output.dest, store.content, index, layout);
      else await writeDestination(output.dest, layoutArchive(store.content, index, layout), { stdout, signal });
      return index;
    }
  }
}

function needsFiles(output: OutputSpec): boolean {
  if (output.kind === 'cacheonly') return false;
  return output.kind === 'local' || output.kind === 'tar' || output.isForced || output.rewritesTimestamps === true;
}

function writeLocal(dest: string, image: AssembledImage, session: Session): void {
  const keepsOwners = !session.isRootless && process.geteuid?.() === 0;
  const latestMs = epochMsOf(image);
  const options = { keepsOwners, signal: session.signal, ...(latestMs === undefined ? {} : { latestMs }) };
  for (const warning of writeLocalDirectory(dest, rootOf(image, session), options)) session.warn(warning);
}

function rootOf({ layers }: AssembledImage, { store }: Session): RootView {
  const head = layers.at(-1)?.snapshot;
  return new RootView(head === undefined ? [] : store.snapshotter.stack(head));
}

/** `linux_arm_v7`. */
function directoryOf({ config }: AssembledImage): string {
  return formatPlatform(normalizePlatform(platformOf(config))).replaceAll('/', '_');
}

function platformOf({ os, architecture, variant }: AssembledImage['config']): Platform {
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

function saveImages(
  assembled: readonly AssembledImage[],
  { images, indexDescriptor }: WrittenIndex,
  names: readonly string[],
  session: Session,
): void {
  for (const [position, { config, configDescriptor, layers }] of assembled.entries()) {
    const written = images[position];
    session.store.images.save(
      {
        configDigest: configDescriptor.digest,
        ...manifestOf(configDescriptor.digest, written),
        layers,
        platform: platformOf(config),
        createdAtMs: session.now(),
        isBuilt: true,
      },
      // The same digest for all: so the name keeps every platform.
      names.map((reference) => ({ reference, resolvedDigest: indexDescriptor.digest })),
    );
  }
}

function reportIndex(
  { indexDescriptor }: WrittenIndex,
  { options, results: { names }, session: { cwd } }: WriteIndexOptions,
): void {
  const { digest } = indexDescriptor;
  const metadata = { 'containerimage.descriptor': indexDescriptor, 'containerimage.digest': digest };
  writeReports({ imageID: digest, names, metadata }, options, cwd);
}
