// SOURCE_DATE_EPOCH: the time that everything this build makes is stamped with.
import type { Variables } from './args.ts';
import { buildArg, deleteVariable, setVariable } from './args.ts';
import { dockerfileError } from './errors.ts';

const NAME = 'SOURCE_DATE_EPOCH';

export interface SourceDateEpoch {
  readonly epochMs: number | undefined;
  /** With the resolved number, or without the name when it is reset. */
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly globalArgs: Variables;
}

/**
 * The epoch from the build arg, else from a global ARG's default. `context` is `contextEpochMs`, the time of a
 * remote build context, and nothing for a local one. Throws TSB_DOCKERFILE_EPOCH_INVALID.
 */
export function resolveSourceDateEpoch(
  buildArgs: Readonly<Record<string, string>>,
  globalArgs: Variables,
  contextEpochMs?: number,
): SourceDateEpoch {
  const text = buildArg(buildArgs, NAME) ?? globalArgs.get(NAME) ?? '';
  const epochMs = text === 'context' ? contextEpochMs : parseEpoch(text);
  const value = epochMs === undefined ? undefined : `${epochMs / 1000}`;
  return { epochMs, buildArgs: replaceArg(buildArgs, value), globalArgs: replaceVariable(globalArgs, value) };
}

function parseEpoch(text: string): number | undefined {
  if (text === '') return undefined;
  if (/^[+-]?[0-9]+$/.test(text)) return Number(text) * 1000;
  throw dockerfileError('EPOCH_INVALID', `invalid SOURCE_DATE_EPOCH: ${text}`, {
    hint: 'give the seconds since 1970, or context',
  });
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
