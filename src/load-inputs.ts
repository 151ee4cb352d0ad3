// What a build reads before anything else.
import { isAbsolute } from 'node:path';
import { loadDefinitionName, loadIgnoreFileName } from '../frontend/step-name.ts';
import { buildArg } from '../frontend/args.ts';
import { parseGoBool } from '../frontend/go-text.ts';
import {
  FETCHED_NAME,
  isSSHContext,
  type RemoteBuildContext,
  type RemoteContext,
  withoutUserInfo,
} from '../frontend/remote-context.ts';
import { policeSources } from '../frontend/policed-source.ts';
import type { SourcePolicy } from '../frontend/source-policy.ts';
import type { ReadInputsOptions } from './build-inputs.ts';
import { type BuildSources, openBuildSources } from './build-sources.ts';
import type { BuildOptions } from './cli/options.ts';
import {
  type LoadedDockerfile,
  loadDockerfile,
  loadDockerfileIn,
  loadIgnoreFile,
  stdinDockerfile,
} from './context/load-dockerfile.ts';
import { findRemoteContext, openContextDirectory } from './context/open-context.ts';
import { ContextTree } from './ops/build-context.ts';
import { reportStep } from './progress/report-step.ts';
import type { Session } from './session.ts';

/** What was read; `close` removes what was unpacked. */
interface LoadedInputs extends ReadInputsOptions {
  readonly close: () => Promise<void>;
}

/** The build context, the Dockerfile and the ignore file, each as a step that is seen. Throws TSB_CONTEXT_…, TSB_DOCKERFILE_UNREADABLE, TSB_SECRET_UNREADABLE, TSB_SSH_KEY. */
export async function loadInputs(options: BuildOptions, session: Session): Promise<LoadedInputs> {
  const keepGitDir = parseGoBool(buildArg(options.buildArgs, 'BUILDKIT_CONTEXT_KEEP_GIT_DIR') ?? '') === true;
  if (options.secrets.length + options.agents.length > 0) {
    (await import('./context/check-forwarded.ts')).checkForwarded(options, session.cwd);
  }
  const policies = await readPolicies(options, session);
  const remote = police(findRemoteContext(options.context, { cwd: session.cwd, keepGitDir }), policies);
  const sources = openBuildSources(withAgent(options, remote), session);
  const context = await openContext(options, remote, sources, session);
  const close = async (): Promise<void> => {
    context.close();
    await sources.close();
  };
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
      sources,
      policies,
      ...context,
      close,
      ignoreFile: await ignoreFile(context, dockerfile, session),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface InputContext {
  /** Absolute path of a directory, or a URL as it may be shown. */
  readonly context: string;
  /** Files keep the owners they had in an archive, and no ignore file applies, as in BuildKit. */
  readonly isArchive: boolean;
  /** Set when `context` is a URL. */
  readonly remoteContext?: RemoteBuildContext;
  readonly load: () => LoadedDockerfile | Promise<LoadedDockerfile>;
  readonly close: () => void;
}

async function readPolicies({ sourcePolicyFile }: BuildOptions, { cwd }: Session): Promise<readonly SourcePolicy[]> {
  if (sourcePolicyFile === undefined) return [];
  return (await import('./context/read-policies.ts')).readPolicies(sourcePolicyFile, cwd);
}

function police(remote: RemoteContext | undefined, policies: readonly SourcePolicy[]): RemoteContext | undefined {
  return remote && { ...remote, op: policeSources({ policies })(remote.op) };
}

/** As buildx does: a repository that needs an agent gets the user's own. */
function withAgent(options: BuildOptions, remote: RemoteContext | undefined): Pick<BuildOptions, 'secrets' | 'agents'> {
  const isNeeded = remote !== undefined && isSSHContext(remote) && options.agents.length === 0;
  return isNeeded ? { ...options, agents: [{ id: 'default', paths: [] }] } : options;
}

async function openContext(
  { context: given, dockerfile }: BuildOptions,
  remote: RemoteContext | undefined,
  sources: BuildSources,
  session: Session,
): Promise<InputContext> {
  if (given === '-') return await openStdin(dockerfile, session);
  if (remote !== undefined) return await openRemote({ given, dockerfile, remote }, sources, session);
  const context = openContextDirectory(given, session.cwd);
  const load = async (): Promise<LoadedDockerfile> => {
    return dockerfile === '-' ? await loadStdin(session) : loadDockerfile(context, dockerfile, session.cwd);
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
    load: () =>
      read.kind === 'archive' ? loadDockerfileIn(new ContextTree(directory), dockerfile) : stdinDockerfile(read.text),
    close: () => removeStdinContext(directory),
  };
}

interface RemoteInput {
  readonly given: string;
  readonly dockerfile: string | undefined;
  readonly remote: RemoteContext;
}

/** As in buildx, `-f` names a file in there, unless it is `-` or an absolute path. */
async function openRemote(
  { given, dockerfile, remote }: RemoteInput,
  sources: BuildSources,
  session: Session,
): Promise<InputContext> {
  const { fetchBuildContext } = await import('./context/remote-build-context.ts');
  const { context, tree, isDockerfile } = await fetchBuildContext(remote, sources, session).catch(
    async (error: unknown) => {
      await sources.close();
      throw error;
    },
  );
  const load = async (): Promise<LoadedDockerfile> => {
    if (dockerfile === '-') return await loadStdin(session);
    if (dockerfile !== undefined && isAbsolute(dockerfile)) return loadDockerfile('/', dockerfile, session.cwd);
    return loadDockerfileIn(tree, isDockerfile ? FETCHED_NAME : dockerfile);
  };
  return { context: withoutUserInfo(given), isArchive: false, remoteContext: context, load, close: () => {} };
}

async function loadStdin(session: Session): Promise<LoadedDockerfile> {
  const { readStdinDockerfile } = await import('./context/stdin-context.ts');
  return stdinDockerfile(await readStdinDockerfile(session));
}

/** Only the files of a local directory are ignored, as in BuildKit. */
async function ignoreFile(
  { context, isArchive, remoteContext }: InputContext,
  dockerfile: LoadedDockerfile,
  session: Session,
) {
  if (isArchive || remoteContext !== undefined) return undefined;
  return await reportStep(session.emit, loadIgnoreFileName(), (report) => {
    const loaded = loadIgnoreFile(context, dockerfile.path === '-' ? undefined : dockerfile.path);
    report('transferring context', Buffer.byteLength(loaded?.text ?? '') + 2);
    if (loaded !== undefined) session.showSource(loaded);
    return loaded;
  });
}
