// SOURCE_DATE_EPOCH: the time that everything this build makes is stamped with.
import type { SourceOp } from '../solver/op.ts';
import type { Variables } from './args.ts';
import { buildArg, deleteVariable, setVariable } from './args.ts';
import type { ConvertOptions } from './convert-options.ts';
import { epochStageSource } from './epoch-stage.ts';
import { dockerfileError } from './errors.ts';
import { findNamedContext } from './named-context.ts';
import { policeSources } from './policed-source.ts';
import type { StagePlan } from './stages.ts';

const NAME = 'SOURCE_DATE_EPOCH';
const FIRST_MS = Date.UTC(-1, 12);
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59);

/** The time in ms, whole seconds, undefined when none is asked for; and the args as steps are to see them. */
export interface SourceDateEpoch {
  readonly epochMs: number | undefined;
  /** With the resolved number, or without the name when it is reset. */
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly globalArgs: Variables;
}

/** The time of what a source op fetches: of a commit, of a file on a server; undefined for one that has none. */
export type SourceTime = (op: SourceOp) => Promise<number | undefined>;

interface EpochScope {
  readonly plan: Pick<StagePlan, 'stages' | 'globalArgs'>;
  readonly options: ConvertOptions;
  readonly escapeCharacter: '\\' | '`';
  /** Left out where nothing may be fetched: what is named then has no time. */
  readonly timeOf: SourceTime | undefined;
}

/**
 * The epoch from the build arg, else from a global ARG's default: seconds, `context`, or the name of a named context or of
 * a stage that ADDs one remote source. Throws TSB_DOCKERFILE_EPOCH_INVALID.
 */
export async function resolveSourceDateEpoch(scope: EpochScope): Promise<SourceDateEpoch> {
  const { buildArgs } = scope.options;
  const { globalArgs } = scope.plan;
  const text = buildArg(buildArgs, NAME) ?? globalArgs.get(NAME) ?? '';
  const epochMs = await timeFor(text, scope);
  if (epochMs !== undefined && !isRepresentable(epochMs)) throw invalid(text, 'it is no time of the years 0 to 9999');
  const value = epochMs === undefined ? undefined : `${epochMs / 1000}`;
  return { epochMs, buildArgs: replaceArg(buildArgs, value), globalArgs: replaceVariable(globalArgs, value) };
}

async function timeFor(text: string, scope: EpochScope): Promise<number | undefined> {
  if (text === '') return undefined;
  if (/^[+-]?[0-9]+$/.test(text)) return Number(text) * 1000;
  const { options, timeOf } = scope;
  if (text === 'context' && options.remoteContext === undefined) return options.contextEpochMs;
  const op = text === 'context' ? options.remoteContext?.remote.op : namedSource(text, scope);
  return op === undefined ? undefined : await timeOf?.(policeSources(options)(op));
}

/** What is behind the name of a context or stage; undefined for a context that has no time. */
function namedSource(name: string, { plan, options, escapeCharacter }: EpochScope): SourceOp | undefined {
  const context = findNamedContext(options.namedContexts, name, options.targetPlatform)?.context;
  if (context !== undefined && context.kind !== 'stage') {
    return context.kind === 'remote' ? context.remote.op : undefined;
  }
  const wanted = (context?.stage ?? name).toLowerCase();
  const stage = plan.stages.find((one) => one.name === wanted);
  if (stage === undefined) {
    throw invalid(name, 'give the seconds since 1970, context, or the name of a named context or stage');
  }
  return epochStageSource(stage, {
    variables: deleteVariable(plan.globalArgs, NAME),
    buildArgs: options.buildArgs,
    escapeCharacter,
  });
}

/** An image's times are RFC 3339: their years have four digits. */
function isRepresentable(epochMs: number): boolean {
  return epochMs >= FIRST_MS && epochMs <= LAST_MS;
}

function invalid(text: string, hint: string): Error {
  return dockerfileError('EPOCH_INVALID', `invalid SOURCE_DATE_EPOCH: ${text}`, { hint });
}

function replaceArg(
  buildArgs: Readonly<Record<string, string>>,
  value: string | undefined,
): Readonly<Record<string, string>> {
  if (buildArg(buildArgs, NAME) === undefined) return buildArgs;
  const { [NAME]: _given, ...others } = buildArgs;
  return value === undefined ? others : { ...others, [NAME]: value };
}

function replaceVariable(globalArgs: Variables, value: string | undefined): Variables {
  if (!globalArgs.has(NAME)) return globalArgs;
  return value === undefined ? deleteVariable(globalArgs, NAME) : setVariable(globalArgs, NAME, value);
}
