// What the readers of single instructions share: the instruction half typed, and the checks on the number of arguments.
import { dockerfileError } from './errors.ts';
import type { FlagSpec, FlagValues } from './flags.ts';
import type { CommandLine, Heredoc } from './instruction.ts';
import type { LocatedInstruction } from './parse-file.ts';

/** What every typed instruction starts from. */
export interface InstructionDraft {
  readonly base: {
    readonly keyword: string;
    readonly range: LocatedInstruction['range'];
    readonly original: string;
    readonly comments: readonly string[];
    readonly heredocs: readonly Heredoc[];
  };
  readonly args: readonly string[];
  readonly isJSON: boolean;
  /** The whole line, blanks at its end included. */
  readonly line: string;
  flags(spec: FlagSpec): FlagValues;
}

/** The command of RUN, CMD, ENTRYPOINT and HEALTHCHECK. */
export function toCommandLine(args: readonly string[], isJSON: boolean): CommandLine {
  return isJSON ? { form: 'exec', args } : { form: 'shell', args: [args.join(' ')] };
}

/** The only argument; throws `<keyword> requires exactly one argument`. */
export function exactlyOne(args: readonly string[], keyword: string): string {
  const [value] = args;
  if (value !== undefined && args.length === 1) return value;
  throw dockerfileError('ARGUMENTS', `${keyword} requires exactly one argument`);
}

/** Throws `<keyword> requires at least one argument`. */
export function atLeastOne(args: readonly string[], keyword: string): void {
  if (args.length === 0) throw dockerfileError('ARGUMENTS', `${keyword} requires at least one argument`);
}
