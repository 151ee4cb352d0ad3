// The end of a build: tags, outputs, and the files that tell what was made.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { familiarName, formatReference, parseReference, withDefaultTag } from '../../frontend/reference.ts';
import type { Digest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { BuildOptions } from '../cli/options.ts';
import type { AssembledImage, WrittenImage } from '../image/image-writer.ts';
import type { BuildWorld } from '../build-world.ts';
import type { ReportProgress } from '../progress/report-step.ts';
import type { Session } from '../session.ts';
import { checkOutput, exportImage } from './export-image.ts';
import { checkFileDest, writeError } from './destination.ts';
import { checkPushNames, type OutputSpec, parseOutput } from './output-spec.ts';

/** The outputs asked for, read and checked before anything is built. Throws TSB_OUTPUT_…, TSB_USAGE_TAG. */
export interface PlannedResults {
  readonly outputs: readonly OutputSpec[];
  /** Full names with tags. */
  readonly names: readonly string[];
}

/** See PlannedResults. */
export function planResults(options: BuildOptions, { cwd, stdout }: Pick<Session, 'cwd' | 'stdout'>): PlannedResults {
  const outputs = options.outputs.map((text) => resolveDest(parseOutput(text), cwd));
  const names = options.tags.map(readTag);
  for (const output of outputs) {
    checkOutput(output, stdout);
    if (output.kind === 'image' && output.isPush) checkPushNames([...names, ...namesOf(output)]);
  }
  for (const file of [options.iidfile, options.metadataFile]) if (file !== undefined) checkFileDest(resolve(cwd, file));
  return { outputs, names };
}

function resolveDest(spec: OutputSpec, cwd: string): OutputSpec {
  return 'dest' in spec && spec.dest !== '-' ? { ...spec, dest: resolve(cwd, spec.dest) } : spec;
}

function readTag(text: string): string {
  const reference = (() => {
    try {
      return parseReference(text);
    } catch (error) {
      if (!(error instanceof TsbuildError)) throw error;
      throw new TsbuildError('TSB_USAGE_TAG', `invalid tag "${text}": ${error.message}`, { exitCode: 2 });
    }
  })();
  if (reference.digest !== undefined) {
    throw new TsbuildError('TSB_USAGE_TAG', `invalid tag "${text}": a name cannot have a digest`, { exitCode: 2 });
  }
  return formatReference(withDefaultTag(reference));
}

/** The finished image, and what is to become of it. */
export interface WriteResultsOptions {
  readonly image: AssembledImage;
  readonly results: PlannedResults;
  readonly options: BuildOptions;
  readonly session: Session;
  readonly report: ReportProgress;
  readonly world: Pick<BuildWorld, 'lazyLayers' | 'registry'>;
}

/** Writes the outputs, then names the image, then the files that tell of it: a failed output leaves no name behind. */
export async function writeResults(asked: WriteResultsOptions): Promise<void> {
  const { image, results, options, session, report: reported, world } = asked;
  const { outputs, names } = results;
  const report = once(reported);
  let written: WrittenImage | undefined;
  for (const output of outputs) {
    const exported = await exportImage(session.store, image, [...names, ...namesOf(output)], output, {
      stdout: session.stdout,
      isRootless: session.isRootless,
      signal: session.signal,
      images: session.store.images,
      ...world,
      report: (id, isDone) => report(id, undefined, undefined, isDone),
    });
    written ??= exported.written;
    for (const warning of exported.warnings) session.warn(warning);
  }
  session.signal.throwIfAborted();
  if (written === undefined) report('exporting layers');
  saveImage(image, written, names, session);
  report(`writing image ${image.configDescriptor.digest}`);
  for (const name of names) report(`naming to ${name}`);
  const imageID = (written ?? image).configDescriptor.digest;
  writeReports({ imageID, names, metadata: metadataOf(imageID, written) }, options, session.cwd);
}

/** Several outputs have the same layers, manifest and config: these are told once. */
function once(report: ReportProgress): ReportProgress {
  const told = new Set<string>();
  return (id, bytes, total, isDone = true) => {
    if (told.has(id)) return;
    if (isDone && id.startsWith('exporting ')) told.add(id);
    report(id, bytes, total, isDone);
  };
}

/** Names that only this output gives. */
export function namesOf(output: OutputSpec): readonly string[] {
  return 'names' in output ? output.names.map(readTag) : [];
}

function saveImage(
  image: AssembledImage,
  written: WrittenImage | undefined,
  names: readonly string[],
  session: Session,
): void {
  const { os, architecture, variant } = image.config;
  session.store.images.save(
    {
      configDigest: image.configDescriptor.digest,
      ...manifestOf(image.configDescriptor.digest, written),
      layers: image.layers,
      platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
      createdAtMs: session.now(),
      isBuilt: true,
    },
    names.map((reference) => ({ reference })),
  );
}

/** The manifest of what was written, unless that has other layers than the image itself. */
export function manifestOf(
  configDigest: Digest,
  written: WrittenImage | undefined,
): { readonly manifestDigest?: Digest } {
  if (written === undefined || written.configDescriptor.digest !== configDigest) return {};
  return { manifestDigest: written.manifestDescriptor.digest };
}

/** What `--iidfile` and `--metadata-file` tell of a build. */
interface BuildReport {
  /** The image config's digest, or an index's. */
  readonly imageID: Digest;
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Writes the files that are asked for. Throws TSB_OUTPUT_WRITE_FAILED. */
export function writeReports(
  { imageID, names, metadata }: BuildReport,
  { iidfile, metadataFile }: Pick<BuildOptions, 'iidfile' | 'metadataFile'>,
  cwd: string,
): void {
  if (iidfile !== undefined) writeReport(resolve(cwd, iidfile), imageID);
  if (metadataFile === undefined) return;
  const named = names.length === 0 ? {} : { 'image.name': names.map(familiarName).join(',') };
  writeReport(resolve(cwd, metadataFile), `${JSON.stringify({ ...metadata, ...named }, null, 2)}\n`);
}

function metadataOf(imageID: Digest, written: WrittenImage | undefined): BuildReport['metadata'] {
  if (written === undefined) return { 'containerimage.config.digest': imageID };
  const descriptor = written.manifestDescriptor;
  return {
    'containerimage.config.digest': imageID,
    'containerimage.descriptor': descriptor,
    'containerimage.digest': descriptor.digest,
  };
}

/** Adds to a metadata file what is known later. Throws TSB_OUTPUT_WRITE_FAILED. */
export function addToReport(path: string, key: string, value: string): void {
  // Written by this build.
  const metadata = JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, unknown>>;
  writeReport(path, `${JSON.stringify({ [key]: value, ...metadata }, null, 2)}\n`);
}

function writeReport(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw writeError(path, error);
  }
}
