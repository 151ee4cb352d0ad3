// What a build reads before anything else.
import { loadDefinitionName, loadIgnoreFileName } from '../frontend/step-name.ts';
import type { ReadInputsOptions } from './build-inputs.ts';
import type { BuildOptions } from './cli/options.ts';
import { loadDockerfile, loadIgnoreFile } from './context/load-dockerfile.ts';
import { openContextDirectory } from './context/open-context.ts';
import { reportStep } from './progress/report-step.ts';
import type { Session } from './session.ts';

/** The build context, the Dockerfile and the ignore file, each as a step that is seen. Throws TSB_CONTEXT_…, TSB_DOCKERFILE_UNREADABLE. */
export async function loadInputs(options: BuildOptions, session: Session): Promise<ReadInputsOptions> {
  const context = openContextDirectory(options.context, session.cwd);
  const dockerfile = await reportStep(
    session.emit,
    loadDefinitionName(options.dockerfile ?? 'Dockerfile'),
    (report) => {
      const loaded = loadDockerfile(context, options.dockerfile, session.cwd);
      report('transferring dockerfile', loaded.sizeBytes);
      session.showSource(loaded.file);
      return loaded;
    },
  );
  const ignoreFile = await reportStep(session.emit, loadIgnoreFileName(), (report) => {
    const loaded = loadIgnoreFile(context, dockerfile.path);
    report('transferring context', Buffer.byteLength(loaded?.text ?? '') + 2);
    return loaded;
  });
  return { options, context, dockerfile, ignoreFile, cwd: session.cwd };
}
