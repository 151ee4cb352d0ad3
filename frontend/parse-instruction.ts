// A split-up instruction -> the typed one, with everything wrong in it that its own text shows.
import { dockerfileError } from './errors.ts';
import { readFlags } from './flags.ts';
import { quoteGo, trimSpace } from './go-text.ts';
import { stripLeadingTabs } from './heredoc.ts';
import type { Heredoc, Instruction, KeyValue } from './instruction.ts';
import { parseAdd, parseCopy } from './parse-copy.ts';
import { atLeastOne, type InstructionDraft, exactlyOne, toCommandLine } from './parse-draft.ts';
import type { LocatedInstruction } from './parse-file.ts';
import { parseHealthcheck } from './parse-healthcheck.ts';
import { KEYWORDS } from './parse-line.ts';
import type { HeredocBody } from './parse-lines.ts';
import { parseRun } from './parse-run.ts';
import { didYouMean } from './suggest.ts';

/** Types one instruction. Throws a TsbuildError without a place, or TsbuildErrors of such. */
export function typeInstruction(located: LocatedInstruction): Instruction {
  const { raw, range, comments, heredocs } = located;
  const draft: InstructionDraft = {
    base: {
      keyword: raw.keyword,
      range,
      original: trimSpace(raw.original),
      comments,
      heredocs: heredocs.map(toHeredoc),
    },
    args: raw.args,
    isJSON: raw.isJSON,
    line: raw.original,
    flags: (spec) => readFlags(raw.flags, spec),
  };
  const type = TYPERS[raw.keyword.toUpperCase()];
  if (type !== undefined) return type(draft);
  const message = didYouMean(`unknown instruction: ${raw.keyword}`, raw.keyword, KEYWORDS, { ignoreCase: true });
  throw dockerfileError('UNKNOWN_INSTRUCTION', message, { word: raw.keyword });
}

const TYPERS: Readonly<Record<string, (draft: InstructionDraft) => Instruction>> = {
  ADD: parseAdd,
  ARG: parseArg,
  CMD: ({ base, args, isJSON, flags }) => {
    flags({});
    return { kind: 'CMD', ...base, command: toCommandLine(args, isJSON) };
  },
  COPY: parseCopy,
  ENTRYPOINT: ({ base, args, isJSON, flags }) => {
    flags({});
    return { kind: 'ENTRYPOINT', ...base, command: toCommandLine(args, isJSON) };
  },
  ENV: (draft) => ({ kind: 'ENV', ...draft.base, pairs: readPairs(draft, 'ENV') }),
  EXPOSE: parseExpose,
  FROM: parseFrom,
  HEALTHCHECK: parseHealthcheck,
  LABEL: (draft) => ({ kind: 'LABEL', ...draft.base, pairs: readPairs(draft, 'LABEL') }),
  MAINTAINER: (draft) => ({ kind: 'MAINTAINER', ...draft.base, maintainer: readOnly(draft, 'MAINTAINER') }),
  ONBUILD: parseTrigger,
  RUN: parseRun,
  SHELL: parseShell,
  // BuildKit checks no flags here either.
  STOPSIGNAL: ({ base, args }) => ({ kind: 'STOPSIGNAL', ...base, signal: exactlyOne(args, 'STOPSIGNAL') }),
  USER: (draft) => ({ kind: 'USER', ...draft.base, user: readOnly(draft, 'USER') }),
  VOLUME: parseVolume,
  WORKDIR: (draft) => ({ kind: 'WORKDIR', ...draft.base, path: readOnly(draft, 'WORKDIR') }),
};

function parseArg({ base, args }: InstructionDraft): Instruction {
  atLeastOne(args, 'ARG');
  return { kind: 'ARG', ...base, args: args.map(readArg) };
}

function readArg(word: string): { key: string; value: string | undefined } {
  const at = word.indexOf('=');
  if (at === 0) throw dockerfileError('BLANK_NAME', 'ARG names can not be blank', { word });
  return at < 0 ? { key: word, value: undefined } : { key: word.slice(0, at), value: word.slice(at + 1) };
}

const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/;

function parseFrom({ base, args, flags }: InstructionDraft): Instruction {
  const [image = '', asKeyword, nameAsWritten] = args;
  const isNamed = args.length === 3 && asKeyword?.toLowerCase() === 'as';
  if (!isNamed && args.length !== 1) {
    throw dockerfileError('FROM_ARGUMENTS', 'FROM requires either one or three arguments', {
      hint: 'the form is FROM <image> [AS <name>]',
    });
  }
  const name = nameAsWritten?.toLowerCase();
  if (name !== undefined && !STAGE_NAME.test(name)) {
    const what = quoteGo(nameAsWritten ?? '');
    const message = `invalid name for build stage: ${what}, name can't start with a number or contain symbols`;
    throw dockerfileError('STAGE_NAME', message, { word: nameAsWritten ?? '' });
  }
  const platform = flags({ platform: 'string' }).string('platform');
  return { kind: 'FROM', ...base, image, name, nameAsWritten, asKeyword, platform };
}

function readPairs({ args, flags }: InstructionDraft, keyword: string): readonly KeyValue[] {
  flags({});
  atLeastOne(args, keyword);
  const pairs: KeyValue[] = [];
  for (let at = 0; at < args.length; at += 3) {
    const [key = '', value = '', sign] = args.slice(at, at + 3);
    if (key === '') throw dockerfileError('BLANK_NAME', `${keyword} names can not be blank`, { word: `=${value}` });
    pairs.push({ key, value, isLegacy: sign === '' });
  }
  return pairs;
}

function parseExpose({ base, args, flags }: InstructionDraft): Instruction {
  atLeastOne(args, 'EXPOSE');
  flags({});
  return { kind: 'EXPOSE', ...base, ports: [...args].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))) };
}

const ONBUILD = /^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*/i;

function parseTrigger({ base, args, line, flags }: InstructionDraft): Instruction {
  atLeastOne(args, 'ONBUILD');
  flags({});
  const trigger = (args[0] ?? '').toUpperCase();
  if (trigger === 'ONBUILD') {
    throw dockerfileError('ONBUILD_TRIGGER', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  }
  if (trigger === 'MAINTAINER' || trigger === 'FROM') {
    throw dockerfileError('ONBUILD_TRIGGER', `${trigger} isn't allowed as an ONBUILD trigger`, { word: args[0] ?? '' });
  }
  const bodies = base.heredocs.map(({ rawBody, name }) => `\n${rawBody}${name}`).join('');
  return { kind: 'ONBUILD', ...base, expression: line.replace(ONBUILD, '') + bodies };
}

function parseShell({ base, args, isJSON, flags }: InstructionDraft): Instruction {
  flags({});
  atLeastOne(args, 'SHELL');
  if (isJSON) return { kind: 'SHELL', ...base, shell: args };
  throw dockerfileError('SHELL_NOT_JSON', 'SHELL requires the arguments to be in JSON form', {
    hint: 'write SHELL ["/bin/sh", "-c"]',
  });
}

function parseVolume({ base, args, flags }: InstructionDraft): Instruction {
  atLeastOne(args, 'VOLUME');
  flags({});
  const paths = args.map(trimSpace);
  if (!paths.includes('')) return { kind: 'VOLUME', ...base, paths };
  throw dockerfileError('VOLUME_EMPTY', 'VOLUME specified can not be an empty string');
}

function readOnly({ args, flags }: InstructionDraft, keyword: string): string {
  const value = exactlyOne(args, keyword);
  flags({});
  return value;
}

function toHeredoc({ name, expand, chomp, fileDescriptor, body }: HeredocBody): Heredoc {
  return { name, expand, chomp, fileDescriptor, body: chomp ? stripLeadingTabs(body) : body, rawBody: body };
}
