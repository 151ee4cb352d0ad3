// RUN: the command with its heredocs, its environment, and the exec op.
import type { ExecMeta, ExecOp, NetworkMode, SecretEnv } from '../solver/op.ts';
import { buildArg, environmentList, setVariable } from './args.ts';
import { commandArgs } from './convert-metadata.ts';
import type { StepScope } from './convert-scope.ts';
import { expand, shownInstruction, stepOptions } from './convert-scope.ts';
import type { InputPlaces, Tree } from './draft.ts';
import { dockerfileError } from './errors.ts';
import { isLoneHeredoc, joinHeredocs } from './heredoc.ts';
import { runText } from './history.ts';
import { inlineDocument } from './inline-document.ts';
import type { RunInstruction } from './instruction.ts';
import { parseMount } from './run-mount.ts';
import type { MountDraft, RunMounts } from './run-mounts.ts';
import { placeMounts, planMounts, sortByDest } from './run-mounts.ts';
import type { StageState } from './stage-state.ts';
import { addHistory, workdirOf } from './stage-state.ts';

const SCRIPT_MODE = 0o755;
const SCRIPT_DIRECTORY = '/dev/pipes/';

/** The state after it. Throws TsbuildError for a mount that cannot be made. */
export function convertRun(state: StageState, run: RunInstruction, scope: StepScope): StageState {
  if (run.devices.length > 0) throw noDevices();
  const command = runCommand(state, run);
  const mounts = planMounts(
    run.mounts.map((mount) => parseMount(mount, (value) => expand(value, state, scope, run))),
    { workdir: workdirOf(state), scope },
  );
  const allMounts: RunMounts = { ...mounts, trees: sortByDest([...command.mounts, ...mounts.trees]) };
  const tree: Tree = {
    sources: [state.tree, ...allMounts.trees.map((mount) => mount.tree)],
    options: stepOptions(shownRun(state, run, mounts.secretEnv, scope), state, scope, run.range),
    createOp: (inputs) => execOp(inputs, { state, run, args: command.args, mounts: allMounts, scope }),
  };
  const ran = { ...state, tree, steps: state.steps + 1 };
  return addHistory(ran, runText(command.args, state.args, state.variables), 'layer', scope.build.epochMs);
}

function noDevices(): Error {
  const message = 'device feature is only supported in Dockerfile frontend 1.14.0-labs or later';
  return dockerfileError('DEVICE', message, {
    word: '--device',
    hint: 'devices of the machine can be had with RUN --security=insecure',
  });
}

interface RunCommand {
  readonly args: readonly string[];
  readonly mounts: readonly MountDraft[];
}

/** A lone heredoc is the script itself: mounted and run when it begins with `#!`, else given to the shell as text. */
function runCommand(state: StageState, { command, heredocs }: RunInstruction): RunCommand {
  const [heredoc] = heredocs;
  const line = command.args[0] ?? '';
  if (heredoc === undefined) return { args: commandArgs(state, command), mounts: [] };
  const shell = (text: string) => commandArgs(state, { form: 'shell', args: [text] });
  if (!isLoneHeredoc(line)) return { args: shell(joinHeredocs(line, heredocs)), mounts: [] };
  if (!heredoc.body.startsWith('#!')) return { args: shell(heredoc.body), mounts: [] };
  const script: MountDraft = {
    tree: inlineDocument(heredoc.name, heredoc.body, SCRIPT_MODE),
    mount: { selector: '/', dest: SCRIPT_DIRECTORY, output: -1, readonly: true, type: 'bind' },
  };
  return { args: shell(`${SCRIPT_DIRECTORY}${heredoc.name}`), mounts: [script] };
}

/** Secrets that become variables are shown masked. */
function shownRun(
  state: StageState,
  { original, command, heredocs }: RunInstruction,
  secretEnv: readonly SecretEnv[],
  scope: StepScope,
): string {
  const [heredoc] = heredocs;
  const isScript = heredoc !== undefined && isLoneHeredoc(command.args[0] ?? '');
  const text = isScript ? `${original} (${summary(heredoc.rawBody)})` : original;
  const variables = secretEnv.reduce((known, { name }) => setVariable(known, name, '****'), state.variables);
  return shownInstruction(text, variables, scope, { rawQuotes: true, skipUnsetEnv: true });
}

function summary(document: string): string {
  const [first = '', ...others] = document.trim().split(/\r?\n/);
  return others.length === 0 ? first : `${first}...`;
}

interface ExecOptions {
  readonly state: StageState;
  readonly run: RunInstruction;
  readonly args: readonly string[];
  readonly mounts: RunMounts;
  readonly scope: StepScope;
}

function execOp({ places: [root = -1, ...places] }: InputPlaces, options: ExecOptions): ExecOp {
  const { state, run, mounts, scope } = options;
  return {
    kind: 'exec',
    meta: execMeta(options),
    mounts: [{ input: root, dest: '/', output: 0, type: 'bind' }, ...placeMounts(mounts, places)],
    network: networkMode(run.network, scope.build.options.network),
    security: run.security === 'insecure' ? 'insecure' : 'sandbox',
    ...(mounts.secretEnv.length > 0 && { secretEnv: mounts.secretEnv }),
    platform: state.platform,
  };
}

function execMeta({ state, args, mounts, scope }: ExecOptions): ExecMeta {
  const { addHosts, ulimits, cgroupParent } = scope.build.options;
  const hostname = buildArg(scope.build.buildArgs, 'BUILDKIT_SANDBOX_HOSTNAME') || scope.build.options.hostname;
  const { User: user } = state.image.config;
  const { proxyEnv } = scope.build;
  const variables =
    mounts.agentSocket === undefined || state.variables.has('SSH_AUTH_SOCK')
      ? state.variables
      : setVariable(state.variables, 'SSH_AUTH_SOCK', mounts.agentSocket);
  return {
    args,
    env: environmentList(variables),
    cwd: workdirOf(state),
    ...(user !== undefined && user !== '' && { user }),
    ...(hostname !== undefined && hostname !== '' && { hostname }),
    ...(addHosts.length > 0 && { extraHosts: addHosts }),
    ...(ulimits.length > 0 && { ulimits }),
    ...(cgroupParent !== undefined && cgroupParent !== '' && { cgroupParent }),
    ...(proxyEnv !== undefined && { proxyEnv }),
  };
}

function networkMode(flag: string | undefined, usual: NetworkMode): NetworkMode {
  return flag === 'none' || flag === 'host' ? flag : usual;
}
