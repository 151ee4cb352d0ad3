// Turns what was thrown into what the user reads: the failed step's output, the excerpt, the message, the hint, the causes.
import { TsbuildError, TsbuildErrors } from '../../solver/errors.ts';
import { colouredText, visibleLines, visibleText } from '../progress/clean-text.ts';
import type { StepOutput } from '../progress/log-tail.ts';

/** How the report learns what the error itself does not carry. */
export interface ReportOptions {
  /** The excerpt of a source with the guilty lines marked, when the error has a place in one. */
  readonly excerptOf: (error: TsbuildError) => string | undefined;
  /** What the failed step wrote, when a step failed. */
  readonly outputOf: (error: TsbuildError) => StepOutput | undefined;
  /** Shows stack traces, for defects and with --debug. */
  readonly showStack: boolean;
}

/** The whole report, ending in a newline. */
export function renderError(thrown: unknown, options: ReportOptions): string {
  if (thrown instanceof TsbuildErrors) return renderSeveral(thrown.errors, options);
  if (thrown instanceof TsbuildError) return renderOne(thrown, options);
  return renderDefect(thrown);
}

const MAX_SHOWN = 10;

/** Lines of a source that have been shown are not shown again for the next error in them. */
function renderSeveral(errors: readonly TsbuildError[], options: ReportOptions): string {
  let last: string | undefined;
  const excerptOf = (error: TsbuildError): string | undefined => {
    const excerpt = options.excerptOf(error);
    const isSame = excerpt === last;
    last = excerpt;
    return isSame ? undefined : excerpt;
  };
  const shown = errors.slice(0, MAX_SHOWN).map((error) => renderOne(error, { ...options, excerptOf }));
  const more = errors.length - shown.length;
  if (more > 0) shown.push(`and ${more} more ${more === 1 ? 'error' : 'errors'}\n`);
  return shown.join('\n');
}

/** 1: the build failed, 2: usage, 130: interrupted. */
export function exitCodeOf(thrown: unknown): number {
  if (thrown instanceof TsbuildErrors) return Math.max(1, ...thrown.errors.map((error) => error.exitCode));
  return thrown instanceof TsbuildError ? thrown.exitCode : 1;
}

function renderOne(error: TsbuildError, options: ReportOptions): string {
  const lines: string[] = [];
  const output = options.outputOf(error);
  if (output && output.lines.length > 0) {
    const omitted = output.omitted === undefined ? [] : [output.omitted];
    lines.push('------', ` > ${visibleText(output.name)}:`, ...omitted);
    for (const line of output.lines) lines.push(colouredText(line));
    lines.push('------');
  }
  const excerpt = options.excerptOf(error);
  if (excerpt !== undefined) lines.push(visibleLines(excerpt.trimEnd()));
  const place = error.range
    ? `${visibleText(error.range.file)}:${error.range.start.line}:${error.range.start.column}: `
    : '';
  lines.push(`${place}error: ${visibleLines(error.message)}`);
  if (error.hint !== undefined) lines.push(`hint: ${visibleLines(error.hint)}`);
  for (const cause of causesOf(error)) lines.push(`cause: ${visibleLines(cause)}`);
  if (options.showStack && error.stack) lines.push(error.stack);
  return `${lines.join('\n')}\n`;
}

function causesOf(error: Error): string[] {
  const causes: string[] = [];
  let cause: unknown = error.cause;
  while (cause instanceof Error && causes.length < 8) {
    if (!error.message.includes(cause.message)) causes.push(cause.message);
    cause = cause.cause;
  }
  return causes;
}

function renderDefect(thrown: unknown): string {
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return `error: this is a defect of tsbuild, please report it with the lines below\n${text}\n`;
}
