// Checks, outlines and targets as JSON, with BuildKit's names: frontend/subrequests of moby/buildkit.
import type { LintWarning } from '../../frontend/instruction.ts';
import type { Outline, OutlineNeed, TargetEntry } from '../../frontend/outline.ts';
import { lastLineOf, type SourceFile } from '../../frontend/source-file.ts';
import type { SourceRange, TsbuildError } from '../../solver/errors.ts';

/** The result of frontend.lint. */
export function formatCheck(
  warnings: readonly LintWarning[],
  error: TsbuildError | undefined,
  file: SourceFile,
): string {
  return write({
    warnings: warnings.map(({ rule, description, url, detail, range }) => ({
      ruleName: rule,
      description,
      ...(url === '' ? {} : { url }),
      detail,
      location: location(range),
    })),
    sources: [{ filename: file.name, data: base64(file), language: 'Dockerfile' }],
    ...(error === undefined
      ? {}
      : { buildError: { message: error.message, location: error.range === undefined ? {} : location(error.range) } }),
  });
}

/** The result of frontend.outline. */
export function formatOutline({ name, description, args, secrets, agents }: Outline, file: SourceFile): string {
  return write({
    ...filled({ name, description }),
    ...(args.length > 0 && {
      args: args.map((arg) => ({
        name: arg.name,
        ...filled({ description: arg.description, value: arg.value }),
        location: location(arg.range),
      })),
    }),
    ...(secrets.length > 0 && { secrets: secrets.map(needOf) }),
    ...(agents.length > 0 && { ssh: agents.map(needOf) }),
    sources: [base64(file)],
  });
}

/** The result of frontend.targets. */
export function formatTargets(targets: readonly TargetEntry[], file: SourceFile): string {
  return write({
    targets: targets.map(({ name, isDefault, description, base, platform, range }) => ({
      ...filled({ name }),
      ...(isDefault && { default: true }),
      ...filled({ description, base, platform }),
      location: location(range),
    })),
    sources: [base64(file)],
  });
}

function needOf({ name, isRequired, range }: OutlineNeed) {
  return { name, ...(isRequired && { required: true }), location: location(range) };
}

/** Lines only, as BuildKit's parser has them; source 0 is left out. */
function location(range: SourceRange) {
  return { ranges: [{ start: { line: range.start.line }, end: { line: lastLineOf(range) } }] };
}

function filled(fields: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
}

function base64({ text }: SourceFile): string {
  return Buffer.from(text).toString('base64');
}

function write(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
