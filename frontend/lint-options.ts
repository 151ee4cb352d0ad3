// Which checks count: `# check=…` at the top of a file or above one instruction, or the build arg that replaces it.
import { type DockerfileError, dockerfileError } from './errors.ts';
import { parseGoBool, quoteGo, trimSpace } from './go-text.ts';
import type { Instruction, LintWarning } from './instruction.ts';
import { LINT_RULES } from './lint-rules.ts';

/** Rule names, or all of them. */
type RuleSet = ReadonlySet<string> | 'all';

interface LintOptions {
  readonly skip: RuleSet;
  readonly experimental: RuleSet;
  /** Any warning fails the build. */
  readonly isError: boolean;
}

/** Reads `skip=A,B;error=true;experimental=C`. Throws TSB_DOCKERFILE_CHECK_OPTION. */
export function parseLintOptions(text: string): LintOptions {
  let options: LintOptions = { skip: new Set(), experimental: new Set(), isError: false };
  for (const part of trimSpace(text) === '' ? [] : text.split(';')) {
    const at = part.indexOf('=');
    if (at < 0) throw dockerfileError('CHECK_OPTION', `invalid check option ${quoteGo(part)}`);
    const key = trimSpace(part.slice(0, at));
    const value = trimSpace(part.slice(at + 1));
    if (key === 'skip') options = { ...options, skip: readRules(value) };
    else if (key === 'experimental') options = { ...options, experimental: readRules(value) };
    else if (key === 'error') options = { ...options, isError: readBool(part, value) };
    else throw dockerfileError('CHECK_OPTION', `invalid check option ${quoteGo(key)}`);
  }
  return options;
}

/** The warnings that the options, and the `# check=skip=…` comments of the instructions at their lines, let through. */
export function selectWarnings(
  warnings: readonly LintWarning[],
  options: LintOptions,
  instructions: readonly Instruction[],
): readonly LintWarning[] {
  const skippedAt = new Map(instructions.map((one) => [one.range.start.line, skippedBy(one)]));
  return warnings.filter(({ rule, range }) => {
    if (includes(options.skip, rule) || includes(skippedAt.get(range.start.line) ?? new Set(), rule)) return false;
    return !isExperimental(rule) || includes(options.experimental, rule);
  });
}

/** `lint violation found for rules: A, B` when the options make warnings errors; undefined when there is none. */
export function lintError(warnings: readonly LintWarning[], options: LintOptions): DockerfileError | undefined {
  if (!options.isError || warnings.length === 0) return undefined;
  const rules = [...new Set(warnings.map(({ rule }) => rule))];
  return dockerfileError('LINT', `lint violation found for rules: ${rules.join(', ')}`);
}

function skippedBy({ comments }: Instruction): RuleSet {
  for (const comment of comments) {
    const [, value] = /^check\s*=\s*skip\s*=\s*(.*)$/i.exec(comment) ?? [];
    if (value !== undefined) return readRules(value);
  }
  return new Set();
}

function includes(rules: RuleSet, rule: string): boolean {
  return rules === 'all' || rules.has(rule);
}

function isExperimental(rule: string): boolean {
  return Object.entries(LINT_RULES).some(([name, one]) => name === rule && 'isExperimental' in one);
}

function readRules(value: string): RuleSet {
  return value === 'all' ? 'all' : new Set(value.split(',').map(trimSpace));
}

function readBool(part: string, value: string): boolean {
  const bool = parseGoBool(value);
  if (bool !== undefined) return bool;
  const reason = `strconv.ParseBool: parsing ${quoteGo(value)}: invalid syntax`;
  throw dockerfileError('CHECK_OPTION', `failed to parse check option ${quoteGo(part)}: ${reason}`);
}
