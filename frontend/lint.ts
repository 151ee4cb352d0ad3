// The build checks that need stages or variables. Each method is called where the fact is met, and notes a warning.
// Texts and conditions: https://docs.docker.com/reference/build-checks/
import type { Platform } from '../solver/op.ts';
import type { Variables } from './args.ts';
import type { PatternMatcher } from './dockerignore.ts';
import { createPatternMatcher } from './dockerignore.ts';
import { dockerfileError } from './errors.ts';
import type {
  AddInstruction,
  ArgInstruction,
  CmdInstruction,
  CommandLine,
  CopyInstruction,
  EntrypointInstruction,
  EnvInstruction,
  ExposeInstruction,
  HealthcheckInstruction,
  Instruction,
  LabelInstruction,
  LintWarning,
  WorkdirInstruction,
} from './instruction.ts';
import type { LintOptions } from './lint-options.ts';
import { parseLintOptions, withSkips } from './lint-options.ts';
import type { LintRuleName } from './lint-rules.ts';
import { lintWarning } from './lint-rules.ts';
import { formatPlatform, normalizePlatform } from './platform.ts';
import type { DeclaredArg, StageState } from './stage-state.ts';
import { suggest } from './suggest.ts';

const SECRET_WORD = /(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)/i;
const HARMLESS_WORD = /(?:_|^)(?:public|file|version)(?:_|$)/i;

/** What a warning is about: where it is, and the comments above it. */
export type LintPlace = Pick<Instruction, 'range' | 'comments'>;

/** `BUILDKIT_DOCKERFILE_CHECK` or the file's directive, and what the .dockerignore keeps out. */
export interface LinterOptions {
  readonly check: string;
  readonly ignorePatterns: readonly string[];
}

/** Gathers warnings in the order they are met, each text once for a place, without those that are switched off. */
export class Linter {
  readonly #warnings: LintWarning[] = [];
  readonly #options: LintOptions;
  readonly #ignored: PatternMatcher;

  constructor({ check, ignorePatterns }: LinterOptions) {
    this.#options = parseLintOptions(check);
    this.#ignored = createPatternMatcher(ignorePatterns);
  }

  get warnings(): readonly LintWarning[] {
    return this.#warnings;
  }

  warn(rule: LintRuleName, detail: string, { range, comments }: LintPlace): void {
    this.add(lintWarning(rule, detail, range), comments);
  }

  /** Notes a warning made elsewhere. */
  add(warning: LintWarning, comments: readonly string[] = []): void {
    const { skip } = withSkips(this.#options, comments);
    if (skip === 'all' || skip.has(warning.rule)) return;
    const isKnown = this.#warnings.some(
      (other) =>
        other.rule === warning.rule &&
        other.detail === warning.detail &&
        other.range.start.line === warning.range.start.line,
    );
    if (!isKnown) this.#warnings.push(warning);
  }

  /** Throws TSB_DOCKERFILE_LINT when there are warnings and `check=error=true` was asked for. */
  throwIfError(): void {
    if (!this.#options.isError || this.#warnings.length === 0) return;
    const rules = [...new Set(this.#warnings.map(({ rule }) => rule))].join(', ');
    throw dockerfileError('LINT', `lint violation found for rules: ${rules}`);
  }

  /** UndefinedVar: names that are neither ARG nor ENV. */
  undefinedVariables(
    names: ReadonlySet<string>,
    args: readonly DeclaredArg[],
    variables: Variables,
    instruction: Instruction,
  ): void {
    for (const name of names) {
      if (args.some(({ key }) => key === name)) continue;
      const detail = `Usage of undefined variable '$${name}'${meant(name, variables.keys())}`;
      this.warn('UndefinedVar', detail, instruction);
    }
  }

  /** MultipleInstructionsDisallowed, at the earlier one, which is without effect; JSONArgsRecommended. */
  usedAgain(state: StageState, instruction: CmdInstruction | EntrypointInstruction | HealthcheckInstruction): void {
    const { kind } = instruction;
    const earlier = state.lastUse[kind];
    if (earlier !== undefined) {
      const detail = `Multiple ${kind} instructions should not be used in the same stage because only the last one will be used`;
      this.warn('MultipleInstructionsDisallowed', detail, { range: earlier, comments: instruction.comments });
    }
    if (kind !== 'HEALTHCHECK') this.#shellForm(state, instruction, instruction.command);
  }

  /** WorkdirRelativePath: called for the first WORKDIR of a chain of stages. */
  firstWorkdir(path: string, instruction: WorkdirInstruction): void {
    if (path.startsWith('/')) return;
    const detail = `Relative workdir "${path}" can have unexpected results if the base image changes`;
    this.warn('WorkdirRelativePath', detail, instruction);
  }

  /** ExposeProtoCasing and ExposeInvalidFormat. */
  exposedPorts(words: readonly string[], instruction: ExposeInstruction): void {
    for (const word of words) {
      const protocol = word.split('/')[1] ?? '';
      if (protocol !== protocol.toLowerCase()) {
        const detail = `Defined protocol '${word}' in EXPOSE instruction should be lowercase`;
        this.warn('ExposeProtoCasing', detail, instruction);
      }
      if (word.includes(':')) {
        const detail = `EXPOSE instruction should not define an IP address or host-port mapping, found '${word}'`;
        this.warn('ExposeInvalidFormat', detail, instruction);
      }
    }
  }

  /** CopyIgnoredFile. With re-included patterns nothing can be said. */
  copySources(sources: readonly string[], instruction: CopyInstruction | AddInstruction): void {
    if (this.#ignored.hasReincludes) return;
    const verb = instruction.kind === 'ADD' ? 'Add' : 'Copy';
    for (const source of sources) {
      const path = source.replace(/^\/+/, '').replace(/\/+$/, '');
      if (path === '' || path === '.' || !this.#ignored.matches(path)) continue;
      const detail = `Attempting to ${verb} file "${source}" that is excluded by .dockerignore`;
      this.warn('CopyIgnoredFile', detail, instruction);
    }
  }

  /** SecretsUsedInArgOrEnv: a name that looks like that of a secret. */
  secretName(key: string, instruction: ArgInstruction | EnvInstruction): void {
    if (!SECRET_WORD.test(key) || HARMLESS_WORD.test(key)) return;
    const { kind } = instruction;
    const detail = `Do not use ARG or ENV instructions for sensitive data (${kind} "${key}")`;
    this.warn('SecretsUsedInArgOrEnv', detail, instruction);
  }

  /** LegacyKeyValueFormat. */
  legacyPairs(instruction: EnvInstruction | LabelInstruction): void {
    if (!instruction.pairs.some(({ isLegacy }) => isLegacy)) return;
    const { keyword } = instruction;
    const detail = `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`;
    this.warn('LegacyKeyValueFormat', detail, instruction);
  }

  /** InvalidBaseImagePlatform. */
  basePlatform(name: string, expected: Platform, actual: Platform, place: LintPlace): void {
    if (expected.os === actual.os && expected.architecture === actual.architecture) return;
    const [pulled, wanted] = [actual, expected].map((platform) => formatPlatform(normalizePlatform(platform)));
    const detail = `Base image ${name} was pulled with platform "${pulled}", expected "${wanted}" for current build`;
    this.warn('InvalidBaseImagePlatform', detail, place);
  }

  #shellForm(state: StageState, instruction: Instruction, command: CommandLine): void {
    const hasShell = (state.image.config.Shell ?? []).length > 0;
    if (command.form === 'exec' || hasShell) return;
    const detail = `JSON arguments recommended for ${instruction.kind} to prevent unintended behavior related to OS signals`;
    this.warn('JSONArgsRecommended', detail, instruction);
  }
}

function meant(name: string, candidates: Iterable<string>): string {
  const nearest = suggest(name, candidates);
  return nearest === undefined ? '' : ` (did you mean $${nearest}?)`;
}
