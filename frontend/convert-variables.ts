// ENV and ARG.
import { buildArg, setVariable, splitPair } from './args.ts';
import type { StepScope } from './convert-scope.ts';
import { expand } from './convert-scope.ts';
import type { ArgInstruction, EnvInstruction } from './instruction.ts';
import type { DeclaredArg, StageState } from './stage-state.ts';
import { addHistory, changeConfig } from './stage-state.ts';

/** Build args that steer tsbuild and never reach a RUN. */
const CONTROL_ARGS: ReadonlySet<string> = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE']);

/** All pairs of the line see the variables as they were before it. */
export function convertEnv(state: StageState, env: EnvInstruction, scope: StepScope): StageState {
  const pairs = env.pairs.map(({ key, value }) => ({
    key: expand(key, state, scope, env),
    value: expand(value, state, scope, env),
  }));
  let changed = state;
  for (const { key, value } of pairs) {
    const Env = replaceInPlace(changed.image.config.Env ?? [], key, value);
    changed = changeConfig({ ...changed, variables: setVariable(changed.variables, key, value) }, { Env });
  }
  const text = ['ENV', ...pairs.map(({ key, value }) => `${key}=${value}`)].join(' ');
  return addHistory(changed, text, 'empty', scope.build.epochMs);
}

/** Args of one line are evaluated from left to right, each seeing those before it. */
export function convertArg(state: StageState, instruction: ArgInstruction, scope: StepScope): StageState {
  let changed = state;
  for (const { key, value } of instruction.args) {
    const arg = { key, value: argValue(key, value, changed, scope, instruction) };
    changed = declareArg(changed, arg);
  }
  const words = changed.args
    .slice(state.args.length)
    .map(({ key, value }) => (value === undefined ? key : `${key}=${value}`));
  return addHistory(changed, ['ARG', ...words].join(' '), 'empty', scope.build.epochMs);
}

function declareArg(state: StageState, arg: DeclaredArg): StageState {
  const args = [...state.args, arg];
  if (arg.value === undefined || CONTROL_ARGS.has(arg.key)) return { ...state, args };
  return { ...state, args, variables: setVariable(state.variables, arg.key, arg.value) };
}

/** The build arg, else the default, else the global arg: a default is not looked at when the build arg is given. */
function argValue(
  key: string,
  defaultValue: string | undefined,
  state: StageState,
  scope: StepScope,
  instruction: ArgInstruction,
): string | undefined {
  const given = buildArg(scope.build.buildArgs, key);
  if (given !== undefined) return given;
  if (defaultValue === undefined) return scope.build.globalArgs.get(key);
  return expand(defaultValue, state, scope, instruction);
}

function replaceInPlace(env: readonly string[], key: string, value: string): readonly string[] {
  const at = env.findIndex((pair) => splitPair(pair)[0] === key);
  return at < 0 ? [...env, `${key}=${value}`] : env.with(at, `${key}=${value}`);
}
