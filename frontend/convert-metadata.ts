// The instructions that change the image config and nothing else.
import { TsbuildError } from '../solver/errors.ts';
import type { StepScope } from './convert-scope.ts';
import { expand, expandList } from './convert-scope.ts';
import { formatList, quoteList } from './go-format.ts';
import { healthcheckText } from './history.ts';
import type { HealthcheckConfig } from './image-config.ts';
import type {
  CmdInstruction,
  CommandLine,
  EntrypointInstruction,
  ExposeInstruction,
  HealthcheckInstruction,
  LabelInstruction,
  MaintainerInstruction,
  OnbuildInstruction,
  ShellInstruction,
  StopsignalInstruction,
  UserInstruction,
  VolumeInstruction,
} from './instruction.ts';
import { parsePorts } from './ports.ts';
import type { StageState } from './stage-state.ts';
import { addHistory, changeConfig } from './stage-state.ts';
import { isSignal } from './stop-signal.ts';

const DEFAULT_SHELL = ['/bin/sh', '-c'];
const WINDOWS_SHELL = ['cmd', '/S', '/C'];

/** Later labels of a name win. */
export function convertLabel(state: StageState, label: LabelInstruction, scope: StepScope): StageState {
  const pairs = label.pairs.map(({ key, value }) => ({
    key: expand(key, state, scope, label),
    value: expand(value, state, scope, label),
  }));
  const added = Object.fromEntries(pairs.map(({ key, value }) => [key, value]));
  const changed = changeConfig(state, { Labels: sortKeys({ ...state.image.config.Labels, ...added }) });
  return note(changed, ['LABEL', ...pairs.map(({ key, value }) => `${key}=${value}`)].join(' '), scope);
}

/** In shell form the shell of the stage runs it. */
export function convertCmd(state: StageState, cmd: CmdInstruction, scope: StepScope): StageState {
  const args = commandArgs(state, cmd.command);
  const changed = changeConfig({ ...state, hasCommand: true }, { Cmd: args, ArgsEscaped: true });
  return note(changed, `CMD ${quoteList(args)}`, scope);
}

/** A CMD of the base is dropped, one of the stage is kept. */
export function convertEntrypoint(state: StageState, entrypoint: EntrypointInstruction, scope: StepScope): StageState {
  const args = commandArgs(state, entrypoint.command);
  const changed = changeConfig(state, { Entrypoint: args });
  const kept = state.hasCommand ? changed : withoutCmd(changed);
  return note(kept, `ENTRYPOINT ${quoteList(args)}`, scope);
}

/** What is zero was not given and is left out. */
export function convertHealthcheck(
  state: StageState,
  healthcheck: HealthcheckInstruction,
  scope: StepScope,
): StageState {
  const { intervalNs, timeoutNs, startPeriodNs, startIntervalNs, retries } = healthcheck;
  const config: HealthcheckConfig = {
    Test: healthcheckTest(healthcheck.command),
    ...(intervalNs !== 0 && { Interval: intervalNs }),
    ...(timeoutNs !== 0 && { Timeout: timeoutNs }),
    ...(startPeriodNs !== 0 && { StartPeriod: startPeriodNs }),
    ...(startIntervalNs !== 0 && { StartInterval: startIntervalNs }),
    ...(retries !== 0 && { Retries: retries }),
  };
  return note(changeConfig(state, { Healthcheck: config }), healthcheckText(config), scope);
}

/** For every shell form that follows. */
export function convertShell(state: StageState, { shell }: ShellInstruction, scope: StepScope): StageState {
  return note(changeConfig(state, { Shell: shell }), `SHELL ${formatList(shell)}`, scope);
}

/** Not looked up: only a RUN needs to know who that is. */
export function convertUser(state: StageState, instruction: UserInstruction, scope: StepScope): StageState {
  const user = expand(instruction.user, state, scope, instruction);
  return note(changeConfig(state, { User: user }), `USER ${user}`, scope);
}

/** Throws TSB_DOCKERFILE_SIGNAL_INVALID. */
export function convertStopsignal(state: StageState, instruction: StopsignalInstruction, scope: StepScope): StageState {
  const signal = expand(instruction.signal, state, scope, instruction);
  if (!isSignal(signal)) {
    throw new TsbuildError('TSB_DOCKERFILE_SIGNAL_INVALID', `invalid signal: ${signal}`, {
      hint: 'write a name such as SIGTERM, or a number',
    });
  }
  return note(changeConfig(state, { StopSignal: signal }), `STOPSIGNAL ${signal}`, scope);
}

/** Adds to the ports of the base. Throws TsbuildError for what is no port. */
export function convertExpose(state: StageState, expose: ExposeInstruction, scope: StepScope): StageState {
  const words = expose.ports.toSorted().flatMap((port) => expandList(port, state, scope, expose));
  const ports = words.flatMap(parsePorts);
  const added = Object.fromEntries(ports.map((port) => [port, {}]));
  const changed = changeConfig(state, { ExposedPorts: sortKeys({ ...state.image.config.ExposedPorts, ...added }) });
  return note(changed, `EXPOSE ${formatList(ports)}`, scope);
}

/** Adds to the volumes of the base. Throws TSB_DOCKERFILE_VOLUME_EMPTY. */
export function convertVolume(state: StageState, volume: VolumeInstruction, scope: StepScope): StageState {
  const paths = volume.paths.map((path) => expand(path, state, scope, volume));
  if (paths.includes('')) {
    throw new TsbuildError('TSB_DOCKERFILE_VOLUME_EMPTY', 'VOLUME specified can not be an empty string');
  }
  const added = Object.fromEntries(paths.map((path) => [path, {}]));
  const changed = changeConfig(state, { Volumes: sortKeys({ ...state.image.config.Volumes, ...added }) });
  return note(changed, `VOLUME ${formatList(paths)}`, scope);
}

/** The author of the image. */
export function convertMaintainer(
  state: StageState,
  { maintainer }: MaintainerInstruction,
  scope: StepScope,
): StageState {
  return note({ ...state, image: { ...state.image, author: maintainer } }, `MAINTAINER ${maintainer}`, scope);
}

/** A trigger is only kept for the child; it leaves no history entry. */
export function convertOnbuild(state: StageState, { expression }: OnbuildInstruction): StageState {
  return changeConfig(state, { OnBuild: [...(state.image.config.OnBuild ?? []), expression] });
}

/** The words of a command; the shell form runs in the stage's SHELL. */
export function commandArgs(state: StageState, command: CommandLine): readonly string[] {
  if (command.form === 'exec') return command.args;
  const { Shell: shell } = state.image.config;
  const byDefault = state.platform.os === 'windows' ? WINDOWS_SHELL : DEFAULT_SHELL;
  return [...(shell === undefined || shell.length === 0 ? byDefault : shell), command.args.join(' ')];
}

/** The record with its keys in byte order, as Go's encoding/json writes maps. */
export function sortKeys<T>(record: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  const entries = Object.entries(record).sort(([left], [right]) =>
    Buffer.compare(Buffer.from(left), Buffer.from(right)),
  );
  return Object.fromEntries(entries);
}

function healthcheckTest(command: CommandLine | undefined): readonly string[] {
  if (command === undefined) return ['NONE'];
  return command.form === 'exec' ? ['CMD', ...command.args] : ['CMD-SHELL', command.args.join(' ')];
}

function withoutCmd(state: StageState): StageState {
  const { Cmd: _cleared, ...config } = state.image.config;
  return { ...state, image: { ...state.image, config } };
}

function note(state: StageState, createdBy: string, scope: StepScope): StageState {
  return addHistory(state, createdBy, 'empty', scope.build.epochMs);
}
