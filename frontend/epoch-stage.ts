// A stage that SOURCE_DATE_EPOCH may name: FROM scratch with one ADD of something remote, whose time is taken.
import type { SourceOp } from '../solver/op.ts';
import type { Variables } from './args.ts';
import { buildArg, setVariable } from './args.ts';
import { atRange, dockerfileError } from './errors.ts';
import { parseGitUrl } from './git-url.ts';
import type { AddInstruction, ArgInstruction } from './instruction.ts';
import { gitSource, httpSource, isHttpUrl } from './remote-source.ts';
import { expandWord } from './shell-words.ts';
import type { Stage } from './stages.ts';

interface EpochStageScope {
  readonly variables: Variables;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly escapeCharacter: '\\' | '`';
}

/** The source that the stage ADDs. Throws TSB_DOCKERFILE_EPOCH_INVALID with BuildKit's texts. */
export function epochStageSource(stage: Stage, scope: EpochStageScope): SourceOp {
  return atRange(stage.from.range, () => {
    if (stage.base.kind !== 'scratch') throw invalid('SOURCE_DATE_EPOCH stage must use FROM scratch');
    let { variables } = scope;
    let source: SourceOp | undefined;
    for (const instruction of stage.instructions) {
      if (instruction.kind === 'ARG') {
        variables = withArgs(instruction, variables, scope);
      } else if (instruction.kind !== 'ADD') {
        const name = instruction.kind.toLowerCase();
        throw invalid(
          `SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported ${name} instruction`,
        );
      } else if (source !== undefined) throw invalid('SOURCE_DATE_EPOCH stage must contain exactly one remote ADD');
      else source = addedSource(instruction, variables, scope);
    }
    if (source === undefined) throw invalid('SOURCE_DATE_EPOCH stage must contain exactly one remote ADD');
    return source;
  });
}

function withArgs(
  { args }: ArgInstruction,
  variables: Variables,
  { buildArgs, escapeCharacter }: EpochStageScope,
): Variables {
  return args.reduce((known, { key, value }) => {
    const given =
      buildArg(buildArgs, key) ??
      (value === undefined ? undefined : expandWord(value, known, { escape: escapeCharacter }).value);
    return given === undefined ? known : setVariable(known, key, given);
  }, variables);
}

function addedSource(
  { sources, heredocs, checksum, keepGitDir }: AddInstruction,
  variables: Variables,
  { escapeCharacter }: EpochStageScope,
): SourceOp {
  const [first, ...others] = sources;
  if (first === undefined || others.length + heredocs.length > 0) {
    throw invalid('SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source');
  }
  const expand = (text: string): string => expandWord(text, variables, { escape: escapeCharacter }).value;
  const source = expand(first);
  const expected = checksum === undefined ? undefined : expand(checksum);
  const git = parseGitUrl(source);
  if (git !== undefined) return gitSource(git, { checksum: expected, keepGitDir });
  if (isHttpUrl(source)) return httpSource(source, expected);
  throw invalid('SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD');
}

function invalid(message: string): Error {
  return dockerfileError('EPOCH_INVALID', message);
}
