// The build checks that need variables, images or the ignore file; lint-text.ts has the others. Each method is called where the fact is met, and notes a warning.
// Texts and conditions: https://docs.docker.com/reference/build-checks/
import type { Platform } from '../solver/op.ts';
import type { Variables } from './args.ts';
import type { PatternMatcher } from './dockerignore.ts';
import { createPatternMatcher } from './dockerignore.ts';
import type { AddInstruction, CopyInstruction, Instruction, LintWarning } from './instruction.ts';
import type { LintRuleName } from './lint-rules.ts';
import { lintWarning } from './lint-rules.ts';
import { formatPlatform, normalizePlatform } from './platform.ts';
import type { DeclaredArg } from './stage-state.ts';
import { suggest } from './suggest.ts';

/** Gathers warnings in the order they are met, each text once for a place. */
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

  warn(rule: LintRuleName, detail: string, { range }: Pick<Instruction, 'range'>): void {
    this.add(lintWarning(rule, detail, range));
  }

  /** Notes a warning made elsewhere. */
  add(warning: LintWarning): void {
    const isKnown = this.#warnings.some((other) => isSameWarning(other, warning));
    if (!isKnown) this.#warnings.push(warning);
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

  /** InvalidBaseImagePlatform. */
  basePlatform(name: string, expected: Platform, actual: Platform, place: Pick<Instruction, 'range'>): void {
    if (expected.os === actual.os && expected.architecture === actual.architecture) return;
    const [pulled, wanted] = [actual, expected].map((platform) => formatPlatform(normalizePlatform(platform)));
    const detail = `Base image ${name} was pulled with platform "${pulled}", expected "${wanted}" for current build`;
    this.warn('InvalidBaseImagePlatform', detail, place);
  }
}

function isSameWarning(left: LintWarning, right: LintWarning): boolean {
  const isSameText = left.rule === right.rule && left.detail === right.detail;
  return isSameText && left.range.start.line === right.range.start.line;
}

function meant(name: string, candidates: Iterable<string>): string {
  const nearest = suggest(name, candidates);
  return nearest === undefined ? '' : ` (did you mean $${nearest}?)`;
}
