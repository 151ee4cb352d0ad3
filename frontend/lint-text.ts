// The build checks that need no more than instructions: no variables, no images, no build context. Those of a file hold
// for the whole of it; those of a stage are reported only when the stage is built.
import type { SourceRange } from '../solver/errors.ts';
import { quoteGo } from './go-text.ts';
import type { FromInstruction, Instruction, LintWarning } from './instruction.ts';
import { lintWarning } from './lint-rules.ts';

/** The checks of a file, in the order of its lines; experimental rules included. */
export function lintFile(instructions: readonly Instruction[]): readonly LintWarning[] {
  const warnings = [
    ...instructions.flatMap(lintInstruction),
    ...lintCasing(instructions),
    ...lintStageNames(instructions.filter((one) => one.kind === 'FROM')),
    ...lintGlobalArgs(instructions),
  ];
  return warnings.sort((a, b) => a.range.start.line - b.range.start.line);
}

/** What a stage has from the stage or image it is based on. */
interface LintStageOptions {
  /** A SHELL was set: then shell form is meant. */
  readonly hasShell?: boolean;
  /** A WORKDIR was set by an earlier stage of the file. */
  readonly hasWorkdir?: boolean;
}

/** The checks of one stage's instructions, without its FROM. */
export function lintStage(
  instructions: readonly Instruction[],
  options: LintStageOptions = {},
): readonly LintWarning[] {
  const warnings: LintWarning[] = [];
  const before = new Map<string, SourceRange>();
  for (const one of instructions) {
    const ignored = before.get(one.kind);
    if (ignored !== undefined && ['CMD', 'ENTRYPOINT', 'HEALTHCHECK'].includes(one.kind)) {
      const detail = `Multiple ${one.keyword} instructions should not be used in the same stage because only the last one will be used`;
      warnings.push(lintWarning('MultipleInstructionsDisallowed', detail, ignored));
    }
    const hasShell = options.hasShell === true || before.has('SHELL');
    const hasWorkdir = options.hasWorkdir === true || before.has('WORKDIR');
    warnings.push(...lintInStage(one, hasShell, hasWorkdir));
    before.set(one.kind, one.range);
  }
  return warnings;
}

function lintInstruction(one: Instruction): LintWarning[] {
  if (one.kind === 'MAINTAINER') {
    const detail = 'Maintainer instruction is deprecated in favor of using label';
    return [lintWarning('MaintainerDeprecated', detail, one.range)];
  }
  const names = definedNames(one);
  return [...(one.kind === 'FROM' ? lintFrom(one) : []), ...lintDescription(one, names)];
}

function lintFrom({ keyword, asKeyword, nameAsWritten, name, platform, range }: FromInstruction): LintWarning[] {
  const warnings: LintWarning[] = [];
  if (nameAsWritten !== name) {
    warnings.push(lintWarning('StageNameCasing', `Stage name '${nameAsWritten}' should be lowercase`, range));
  }
  if (asKeyword !== undefined && casingOf(keyword) !== 'mixed' && casingOf(keyword) !== casingOf(asKeyword)) {
    const detail = `'${asKeyword}' and '${keyword}' keywords' casing do not match`;
    warnings.push(lintWarning('FromAsCasing', detail, range));
  }
  if (/^\$(TARGETPLATFORM|\{TARGETPLATFORM\})$/.test(platform ?? '')) {
    const detail = `Setting platform to predefined ${platform} in FROM is redundant as this is the default behavior`;
    warnings.push(lintWarning('RedundantTargetPlatform', detail, range));
  } else if (platform !== undefined && platform !== '' && !platform.includes('$') && !namesPlatform(name, platform)) {
    const detail = `FROM --platform flag should not use constant value ${quoteGo(platform)}`;
    warnings.push(lintWarning('FromPlatformFlagConstDisallowed', detail, range));
  }
  return warnings;
}

function namesPlatform(name: string | undefined, platform: string): boolean {
  return name !== undefined && platform.split('/').some((part) => part !== '' && name.includes(part));
}

function definedNames(one: Instruction): readonly string[] {
  if (one.kind === 'ARG') return one.args.map(({ key }) => key);
  return one.kind === 'FROM' && one.name !== undefined ? [one.name] : [];
}

function lintDescription({ kind, comments, range }: Instruction, names: readonly string[]): LintWarning[] {
  const comment = comments.at(-1);
  const [first] = names;
  if (comment === undefined || first === undefined || names.includes(comment.split(' ')[0] ?? '')) return [];
  const name = names.length > 1 ? '<arg_key>' : first;
  const detail = `Comment for ${kind} should follow the format: \`# ${name} <description>\``;
  return [lintWarning('InvalidDefinitionDescription', detail, range)];
}

/** ARGs before the first FROM have no say and are not judged. */
function lintCasing(instructions: readonly Instruction[]): LintWarning[] {
  const start = instructions.findIndex(({ kind }) => kind === 'FROM');
  const judged = start < 0 ? [] : instructions.slice(start);
  const count = (casing: string) => judged.filter(({ keyword }) => casingOf(keyword) === casing).length;
  const majority = count('lower') > count('upper') ? 'lower' : 'upper';
  return judged
    .filter(({ keyword }) => casingOf(keyword) !== majority)
    .map(({ keyword, range }) => {
      const detail = `Command '${keyword}' should match the case of the command majority (${majority}case)`;
      return lintWarning('ConsistentInstructionCasing', detail, range);
    });
}

function casingOf(word: string): 'lower' | 'upper' | 'mixed' {
  if (word === word.toLowerCase()) return 'lower';
  return word === word.toUpperCase() ? 'upper' : 'mixed';
}

function lintStageNames(froms: readonly FromInstruction[]): LintWarning[] {
  const seen = new Set<string>();
  return froms.flatMap(({ name, range }) => {
    if (name === undefined) return [];
    const warnings: LintWarning[] = [];
    if (name === 'scratch' || name === 'context') {
      const detail = `Stage name should not use the same name as reserved stage ${quoteGo(name)}`;
      warnings.push(lintWarning('ReservedStageName', detail, range));
    }
    if (seen.has(name)) {
      const detail = `Duplicate stage name ${quoteGo(name)}, stage names should be unique`;
      warnings.push(lintWarning('DuplicateStageName', detail, range));
    }
    seen.add(name);
    return warnings;
  });
}

function lintGlobalArgs(instructions: readonly Instruction[]): LintWarning[] {
  const start = instructions.findIndex(({ kind }) => kind === 'FROM');
  return instructions.slice(0, Math.max(start, 0)).flatMap(lintSecrets);
}

function lintInStage(one: Instruction, hasShell: boolean, hasWorkdir: boolean): LintWarning[] {
  switch (one.kind) {
    case 'CMD':
    case 'ENTRYPOINT': {
      if (hasShell || one.command.form === 'exec') return [];
      const detail = `JSON arguments recommended for ${one.keyword} to prevent unintended behavior related to OS signals`;
      return [lintWarning('JSONArgsRecommended', detail, one.range)];
    }
    case 'WORKDIR': {
      // What a variable stands for is not known here.
      if (hasWorkdir || one.path.startsWith('/') || one.path.startsWith('$')) return [];
      const detail = `Relative workdir ${quoteGo(one.path)} can have unexpected results if the base image changes`;
      return [lintWarning('WorkdirRelativePath', detail, one.range)];
    }
    case 'ENV':
    case 'LABEL': {
      const detail = `"${one.keyword} key=value" should be used instead of legacy "${one.keyword} key value" format`;
      const legacy = one.pairs.filter(({ isLegacy }) => isLegacy);
      return [...legacy.map(() => lintWarning('LegacyKeyValueFormat', detail, one.range)), ...lintSecrets(one)];
    }
    case 'ARG':
      return lintSecrets(one);
    case 'EXPOSE':
      return one.ports.flatMap((port) => lintPort(port, one.range));
    default:
      return [];
  }
}

const SECRET_WORDS = /^(apikey|auth|credentials?|key|password|pword|passwd|secret|token)$/i;
const HARMLESS_WORDS = /^(public|file|version)$/i;

function lintSecrets(one: Instruction): LintWarning[] {
  const keys = one.kind === 'ARG' ? one.args : one.kind === 'ENV' ? one.pairs : [];
  return keys
    .filter(({ key }) => soundsSecret(key))
    .map(({ key }) => {
      const detail = `Do not use ARG or ENV instructions for sensitive data (${one.kind} ${quoteGo(key)})`;
      return lintWarning('SecretsUsedInArgOrEnv', detail, one.range);
    });
}

function soundsSecret(key: string): boolean {
  const words = key.split('_');
  return words.some((word) => SECRET_WORDS.test(word)) && !words.some((word) => HARMLESS_WORDS.test(word));
}

function lintPort(port: string, range: SourceRange): LintWarning[] {
  const warnings: LintWarning[] = [];
  const protocol = port.split('/')[1] ?? '';
  if (protocol !== protocol.toLowerCase() && !protocol.includes('$')) {
    const detail = `Defined protocol '${port}' in EXPOSE instruction should be lowercase`;
    warnings.push(lintWarning('ExposeProtoCasing', detail, range));
  }
  if (/^[^$]*:/.test(port)) {
    const detail = `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`;
    warnings.push(lintWarning('ExposeInvalidFormat', detail, range));
  }
  return warnings;
}
