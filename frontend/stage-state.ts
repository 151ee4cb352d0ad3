// What a stage is after some of its instructions: the tree so far, the variables, and the image config it would give.
import type { Platform } from '../solver/op.ts';
import type { Variables } from './args.ts';
import { setVariable, splitPair } from './args.ts';
import type { Tree } from './draft.ts';
import type { HistoryKind } from './history.ts';
import { historyEntry } from './history.ts';
import { type ContainerConfig, DEFAULT_PATH, type ImageConfig } from './image-config.ts';

/** An ARG of the stage; a value of undefined means declared, never given. */
export interface DeclaredArg {
  readonly key: string;
  readonly value: string | undefined;
}

/** Immutable: each instruction makes the next one from it. */
export interface StageState {
  readonly tree: Tree;
  /** What RUN runs on, and what the image says it is for when nothing else is asked. */
  readonly platform: Platform;
  /** ENV and ARG as a RUN gets them. */
  readonly variables: Variables;
  readonly image: ImageConfig;
  readonly args: readonly DeclaredArg[];
  /** Steps numbered so far. */
  readonly steps: number;
  /** Layers below the first of this file's. */
  readonly base: BaseImage;
  /** True once the stage had a CMD of its own. */
  readonly hasCommand: boolean;
  /** True once a WORKDIR of this file was met. */
  readonly hasWorkdir: boolean;
}

interface BaseImage {
  readonly diffIDs: ImageConfig['rootfs']['diff_ids'];
  readonly historyLength: number;
}

/** What a stage without layers below it stands on. */
export const EMPTY_BASE: BaseImage = { diffIDs: [], historyLength: 0 };

const WINDOWS_PATH = 'c:\\Windows\\System32;c:\\Windows';

/** The config of `FROM scratch`. */
export function emptyImage(platform: Platform): ImageConfig {
  return {
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant !== undefined && { variant: platform.variant }),
    config: { Env: [`PATH=${platform.os === 'windows' ? WINDOWS_PATH : DEFAULT_PATH}`], WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [] },
    history: [],
  };
}

/** The state before a stage's first instruction: PATH is always set, triggers are gone. */
export function openStage(base: StageState): StageState {
  const { OnBuild: _fired, ...config } = base.image.config;
  const env = config.Env ?? [];
  const hasPath = env.some((pair) => splitPair(pair)[0] === 'PATH');
  const withPath = hasPath || base.platform.os === 'windows' ? env : [...env, `PATH=${DEFAULT_PATH}`];
  const variables = withPath
    .map(splitPair)
    .reduce<Variables>((known, [key, value]) => setVariable(known, key, value), base.variables);
  const image = { ...base.image, config: { ...config, ...(withPath.length > 0 && { Env: withPath }) } };
  return { ...base, image, variables, hasCommand: false };
}

/** The state with part of its config changed. */
export function changeConfig(state: StageState, change: ContainerConfig): StageState {
  return { ...state, image: { ...state.image, config: { ...state.image.config, ...change } } };
}

/** The state with one more history entry. */
export function addHistory(
  state: StageState,
  createdBy: string,
  kind: HistoryKind,
  epochMs: number | undefined,
): StageState {
  const history = [...state.image.history, historyEntry(createdBy, kind, epochMs)];
  return { ...state, image: { ...state.image, history } };
}

/** Where relative paths of the stage start. */
export function workdirOf(state: StageState): string {
  return state.image.config.WorkingDir || '/';
}
