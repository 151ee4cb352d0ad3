// A build from beginning to end, on one screen: read, parse, convert, solve, assemble, write out.
import { convertDockerfile } from '../frontend/convert.ts';
import type { Conversion } from '../frontend/convert-options.ts';
import type { ParsedDockerfile } from '../frontend/instruction.ts';
import { parseDockerfile } from '../frontend/parse.ts';
import { loadDefinitionName, loadIgnoreFileName } from '../frontend/step-name.ts';
import type { Digest } from '../solver/digest.ts';
import { solve } from '../solver/solve.ts';
import { type BuildInputs, readInputs } from './build-inputs.ts';
import { type BuildWorld, openBuildWorld } from './build-world.ts';
import type { BuildOptions } from './cli/options.ts';
import { loadDockerfile, loadIgnoreFile } from './context/load-dockerfile.ts';
import { openContextDirectory } from './context/open-context.ts';
import { writeResults } from './export/write-results.ts';
import { assembleImage } from './image/assemble-image.ts';
import { reportStep } from './progress/report-step.ts';
import type { Session } from './session.ts';

export interface BuildOutcome {
  /** Digest of the image config. */
  readonly imageID: Digest;
}

/** Builds what the options ask for. Throws TsbuildError or TsbuildErrors; steps that ended before a failure stay cached. */
export async function build(options: BuildOptions, session: Session): Promise<BuildOutcome> {
  const { emit, signal } = session;
  const inputs = await loadInputs(options, session);
  const parsed = parseDockerfile(inputs.dockerfile.file);
  const world = openBuildWorld(inputs, session);
  const conversion = await convert(parsed, inputs, world);
  warn(conversion, session);
  signal.throwIfAborted();
  world.expect(conversion);
  const result = await solve(conversion.definition, {
    runner: world.runner,
    cacheStore: session.store.cacheStore,
    signal,
    emit,
    now: session.now,
  });
  const image = await assembleImage({ conversion, result, session, diffs: world.diffs });
  await reportStep(emit, 'exporting to image', (report) => writeResults({ image, options: inputs.options, session, report }));
  return { imageID: image.configDigest };
}

async function loadInputs(options: BuildOptions, session: Session): Promise<BuildInputs> {
  const context = openContextDirectory(options.context, session.cwd);
  const dockerfile = await reportStep(session.emit, loadDefinitionName(options.dockerfile ?? 'Dockerfile'), (report) => {
    const loaded = loadDockerfile(context, options.dockerfile, session.cwd);
    report('transferring dockerfile', loaded.sizeBytes);
    session.showSource(loaded.file);
    return loaded;
  });
  const ignoreFile = await reportStep(session.emit, loadIgnoreFileName(), (report) => {
    const loaded = loadIgnoreFile(context, dockerfile.path);
    report('transferring context', Buffer.byteLength(loaded?.text ?? '') + 2);
    return loaded;
  });
  return readInputs({ options, context, dockerfile, ignoreFile, cwd: session.cwd });
}

async function convert(parsed: ParsedDockerfile, inputs: BuildInputs, world: BuildWorld): Promise<Conversion> {
  return await convertDockerfile(parsed, inputs.convertOptions, { resolver: world.resolver, ignored: world.ignored });
}

function warn(conversion: Conversion, session: Session): void {
  for (const { rule, detail, range } of conversion.warnings) session.warn(`${rule}: ${detail} (line ${range.start.line})`);
}
