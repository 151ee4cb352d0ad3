// Parser directives: the `# key=value` comments that open a file.
import { dockerfileError } from './errors.ts';
import { trimSpaceStart } from './go-text.ts';
import type { Directive } from './instruction.ts';
import { lineRange, type SourceFile } from './source-file.ts';

const DIRECTIVE = /^([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*$/;

/** What a file opens with; the escape character is a backslash unless one of the directives says otherwise. */
export interface Directives {
  readonly directives: readonly Directive[];
  readonly escape: '\\' | '`';
}

/**
 * Reads directives until the first line that is none. `lines` are the file's, without their ends. Throws for a second
 * one of a name and for an escape that is not `\` or a backtick.
 */
export function readDirectives(file: SourceFile, lines: readonly string[]): Directives {
  const directives: Directive[] = [];
  let escapeToken: '\\' | '`' = '\\';
  for (const [index, line] of lines.entries()) {
    const found = matchDirective(trimSpaceStart(line), '#');
    if (found === undefined) break;
    const { name, value } = found;
    if (directives.some((directive) => directive.name === name)) throw duplicate(file, name, index + 1);
    const range = lineRange(file, index + 1, index + 1);
    if (name === 'escape') escapeToken = readEscape(value, range);
    directives.push({ name, value, range });
  }
  return { directives, escape: escapeToken };
}

/** The line before is marked, as BuildKit does: mostly that is the first of the two. */
function duplicate(file: SourceFile, name: string, line: number): Error {
  return dockerfileError('DIRECTIVE_DUPLICATE', `only one ${name} parser directive can be used`, {
    range: lineRange(file, line - 1, line - 1),
    hint: `remove the one on line ${line}`,
  });
}

function readEscape(value: string, range: Directive['range']): '\\' | '`' {
  if (value === '\\' || value === '`') return value;
  const message = `invalid escape token '${value}' does not match \` or \\`;
  throw dockerfileError('DIRECTIVE_ESCAPE', message, { range });
}

/**
 * The frontend image that a file asks for: `# syntax=`, also as `// syntax=`, as JSON `{"syntax": "…"}`, and behind a
 * `#!` line. Only the reference, without what follows a blank.
 */
export function detectSyntax(text: string): string | undefined {
  const body = text.replace(/^\ufeff/, '').replace(/^#!.*(\n|$)/, '');
  const value = findSyntax(body, '#') ?? findSyntax(body, '//') ?? syntaxFromJSON(body);
  return value?.split(' ')[0];
}

function findSyntax(body: string, comment: string): string | undefined {
  for (const line of body.split('\n')) {
    const found = matchDirective(line, comment);
    if (found === undefined) return undefined;
    if (found.name === 'syntax') return found.value;
  }
  return undefined;
}

function syntaxFromJSON(body: string): string | undefined {
  if (!trimSpaceStart(body).startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null || !('syntax' in value)) return undefined;
    return typeof value.syntax === 'string' ? value.syntax : undefined;
  } catch {
    return undefined;
  }
}

function matchDirective(line: string, comment: string): { name: Directive['name']; value: string } | undefined {
  if (!line.startsWith(comment)) return undefined;
  const [, key = '', value = ''] = DIRECTIVE.exec(trimSpaceStart(line.slice(comment.length))) ?? [];
  const name = key.toLowerCase();
  return name === 'syntax' || name === 'escape' || name === 'check' ? { name, value } : undefined;
}
