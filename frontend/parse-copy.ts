// COPY and ADD: flags, sources, heredocs as sources, destination.
import { dockerfileError } from './errors.ts';
import type { FlagSpec, FlagValues } from './flags.ts';
import { type HeredocWord, parseHeredocWord, stripLeadingTabs } from './heredoc.ts';
import type { AddInstruction, CopyInstruction, Heredoc } from './instruction.ts';
import type { InstructionDraft } from './parse-draft.ts';

const COMMON_FLAGS: FlagSpec = { chown: 'string', chmod: 'string', link: 'bool', exclude: 'strings' };
const COPY_FLAGS: FlagSpec = { ...COMMON_FLAGS, from: 'string', parents: 'bool' };
const ADD_FLAGS: FlagSpec = { ...COMMON_FLAGS, checksum: 'string', 'keep-git-dir': 'bool', unpack: 'bool' };

/** Types a COPY. */
export function parseCopy(draft: InstructionDraft): CopyInstruction {
  atLeastTwo(draft.args, 'COPY');
  const flags = draft.flags(COPY_FLAGS);
  const from = flags.string('from');
  const parents = flags.bool('parents') ?? false;
  return { kind: 'COPY', ...draft.base, ...readPaths(draft, 'COPY'), ...readCommon(flags), from, parents };
}

/** Types an ADD. */
export function parseAdd(draft: InstructionDraft): AddInstruction {
  atLeastTwo(draft.args, 'ADD');
  const flags = draft.flags(ADD_FLAGS);
  const checksum = flags.string('checksum');
  const keepGitDir = flags.bool('keep-git-dir');
  const unpack = flags.bool('unpack');
  return { kind: 'ADD', ...draft.base, ...readPaths(draft, 'ADD'), ...readCommon(flags), checksum, keepGitDir, unpack };
}

function atLeastTwo(args: readonly string[], keyword: string): void {
  if (args.length >= 2) return;
  const message = `${keyword} requires at least two arguments, but only one was provided. Destination could not be determined`;
  throw dockerfileError('NO_DESTINATION', message);
}

function readCommon(flags: FlagValues) {
  return {
    chown: flags.string('chown'),
    chmod: flags.string('chmod'),
    link: flags.bool('link') ?? false,
    excludes: flags.strings('exclude'),
  };
}

interface Paths {
  readonly sources: readonly string[];
  readonly dest: string;
  readonly heredocs: readonly Heredoc[];
}

function readPaths({ args, base }: InstructionDraft, keyword: string): Paths {
  const dest = args[args.length - 1] ?? '';
  if (parseHeredocWord(dest) !== undefined) {
    throw dockerfileError('HEREDOC_DESTINATION', `${keyword} cannot accept a heredoc as a destination`, { word: dest });
  }
  const sources: string[] = [];
  const heredocs: Heredoc[] = [];
  for (const source of args.slice(0, -1)) {
    const word = parseHeredocWord(source);
    if (word === undefined) sources.push(source);
    else heredocs.push(withBody(word, base.heredocs));
  }
  return { sources, dest, heredocs };
}

/** Of several heredocs with one name the last one's body counts, for each of them. */
function withBody(word: HeredocWord, heredocs: readonly Heredoc[]): Heredoc {
  const rawBody = heredocs.findLast(({ name }) => name === word.name)?.rawBody ?? '';
  return { ...word, rawBody, body: word.chomp ? stripLeadingTabs(rawBody) : rawBody };
}
