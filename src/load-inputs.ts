// What a build reads before anything else.
import { loadDefinitionName, loadIgnoreFileName } from '../frontend/step-name.ts';
import type { ReadInputsOptions } from './build-inputs.ts';
import type { BuildOptions } from './cli/options.ts';
import {
  type LoadedDockerfile,
  loadArchivedDockerfile,
  loadDockerfile,
  loadIgnoreFile,
  stdinDockerfile,
} from './context/load-dockerfile.ts';
import { openContextDirectory } from './context/open-context.ts';
import { reportStep } from './progress/report-step.ts';
import type { Session } from './session.ts';

/** What was read; `close` removes what was unpacked. */
export interface LoadedInputs extends ReadInputsOptions {
  readonly close: () => void;
}

/** The build context, the Dockerfile and the ignore file, each as a step that is seen. Throws TSB_CONTEXT_…, TSB_DOCKERFILE_UNREADABLE. */
export async function loadInputs(options: BuildOptions, session: Session): Promise<LoadedInputs> {
  const context = await openContext(options, session);
  try {
    const dockerfile = await reportStep(
      session.emit,
      loadDefinitionName(options.dockerfile ?? 'Dockerfile'),
      async (report) => {
        const loaded = await context.load();
        report('transferring dockerfile', loaded.sizeBytes);
        session.showSource(loaded.file);
        return loaded;
      },
    );
    return {
      options,
      dockerfile,
      cwd: session.cwd,
      ...context,
      ignoreFile: await ignoreFile(context, dockerfile, session),
    };
  } catch (error) {
    context.close();
    throw error;
  }
}

interface InputContext {
  /** Absolute path of a directory. */
  readonly context: string;
  /** Files keep the owners they had in an archive, and no ignore file applies, as in BuildKit. */
  readonly isArchive: boolean;
  readonly load: () => LoadedDockerfile | Promise<LoadedDockerfile>;
  readonly close: () => void;
}

async function openContext({ context: given, dockerfile }: BuildOptions, session: Session): Promise<InputContext> {
  if (given === '-') return await openStdin(dockerfile, session);
  const context = openContextDirectory(given, session.cwd);
  const load = async (): Promise<LoadedDockerfile> => {
    if (dockerfile !== '-') return loadDockerfile(context, dockerfile, session.cwd);
    const { readStdinDockerfile } = await import('./context/stdin-context.ts');
    return stdinDockerfile(await readStdinDockerfile(session));
  };
  return { context, isArchive: false, load, close: () => {} };
}

async function openStdin(dockerfile: string | undefined, session: Session): Promise<InputContext> {
  const { readStdinContext, removeStdinContext } = await import('./context/stdin-context.ts');
  const read = await readStdinContext(dockerfile, session);
  const { directory } = read;
  return {
    context: directory,
    isArchive: read.kind === 'archive',
    load: () => (read.kind === 'archive' ? loadArchivedDockerfile(directory, dockerfile) : stdinDockerfile(read.text)),
    close: () => removeStdinContext(directory),
  };
}

async function ignoreFile({ context, isArchive }: InputContext, dockerfile: LoadedDockerfile, session: Session) {
  if (isArchive) return undefined;
  return await reportStep(session.emit, loadIgnoreFileName(), (report) => {
    const loaded = loadIgnoreFile(context, dockerfile.path === '-' ? undefined : dockerfile.path);
    report('transferring context', Buffer.byteLength(loaded?.text ?? '') + 2);
    if (loaded !== undefined) session.showSource(loaded);
    return loaded;
  });
}
