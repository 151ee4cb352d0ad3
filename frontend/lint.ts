// The build checks that need stages or variables. Each method is called where the fact is met, and notes a warning.
// Texts and conditions: https://docs.docker.com/reference/build-checks/
import type { SourceRange } from '../solver/errors.ts';
import type { Platform } from '../solver/op.ts';
import type { Variables } from './args.ts';
import type { PatternMatcher } from './dockerignore.ts';
import { createPatternMatcher } from './dockerignore.ts';
import type {
  AddInstruction,
  CmdInstruction,
  CommandLine,
  CopyInstruction,
  EntrypointInstruction,
  ExposeInstruction,
  HealthcheckInstruction,
  Instruction,
  LintWarning,
  WorkdirInstruction,
} from './instruction.ts';
import type { LintRuleName } from './lint-rules.ts';
import { lintWarning } from './lint-rules.ts';
import { formatPlatform, normalizePlatform } from './platform.ts';
import type { DeclaredArg, StageState } from './stage-state.ts';
import { suggest } from './suggest.ts';

/** Gathers warnings in the order they are met; each text once for a place. */
export class Linter {
  readonly #warnings: LintWarning[] = [];
  readonly #ignored: PatternMatcher;

  /** `ignorePatterns` are the lines of the .dockerignore. */
  constructor(ignorePatterns: readonly string[]) {
    this.#ignored = createPatternMatcher(ignorePatterns);
  }

  get warnings(): readonly LintWarning[] {
    return this.#warnings;
  }

  warn(rule: LintRuleName, detail: string, range: SourceRange): void {
    const isKnown = this.#warnings.some(
      (other) => other.rule === rule && other.detail === detail && other.range.start.line === range.start.line,
    );
    if (!isKnown) this.#warnings.push(lintWarning(rule, detail, range));
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
      this.warn('UndefinedVar', detail, instruction.range);
    }
  }

  /** MultipleInstructionsDisallowed, at the earlier one, which is without effect; JSONArgsRecommended. */
  usedAgain(state: StageState, instruction: CmdInstruction | EntrypointInstruction | HealthcheckInstruction): void {
    const { kind } = instruction;
    const earlier = state.lastUse[kind];
    if (earlier !== undefined) {
      const detail = `Multiple ${kind} instructions should not be used in the same stage because only the last one will be used`;
      this.warn('MultipleInstructionsDisallowed', detail, earlier);
    }
    if (kind !== 'HEALTHCHECK') this.#shellForm(state, instruction, instruction.command);
  }

  /** WorkdirRelativePath: called for the first WORKDIR of a chain of stages. */
  firstWorkdir(path: string, instruction: WorkdirInstruction): void {
    if (path.startsWith('/')) return;
    const detail = `Relative workdir "${path}" can have unexpected results if the base image changes`;
    this.warn('WorkdirRelativePath', detail, instruction.range);
  }

  /** ExposeProtoCasing and ExposeInvalidFormat. */
  exposedPorts(words: readonly string[], instruction: ExposeInstruction): void {
    for (const word of words) {
      const protocol = word.split('/')[1] ?? '';
      if (protocol !== protocol.toLowerCase()) {
        const detail = `Defined protocol '${word}' in EXPOSE instruction should be lowercase`;
        this.warn('ExposeProtoCasing', detail, instruction.range);
      }
      if (word.includes(':')) {
        const detail = `EXPOSE instruction should not define an IP address or host-port mapping, found '${word}'`;
        this.warn('ExposeInvalidFormat', detail, instruction.range);
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
      this.warn('CopyIgnoredFile', detail, instruction.range);
    }
  }

  /** InvalidBaseImagePlatform. */
  basePlatform(name: string, expected: Platform, actual: Platform, range: SourceRange): void {
    if (expected.os === actual.os && expected.architecture === actual.architecture) return;
    const [pulled, wanted] = [actual, expected].map((platform) => formatPlatform(normalizePlatform(platform)));
    const detail = `Base image ${name} was pulled with platform "${pulled}", expected "${wanted}" for current build`;
    this.warn('InvalidBaseImagePlatform', detail, range);
  }

  #shellForm(state: StageState, instruction: Instruction, command: CommandLine): void {
    const hasShell = (state.image.config.Shell ?? []).length > 0;
    if (command.form === 'exec' || hasShell) return;
    const detail = `JSON arguments recommended for ${instruction.kind} to prevent unintended behavior related to OS signals`;
    this.warn('JSONArgsRecommended', detail, instruction.range);
  }
}

function meant(name: string, candidates: Iterable<string>): string {
  const nearest = suggest(name, candidates);
  return nearest === undefined ? '' : ` (did you mean $${nearest}?)`;
}
