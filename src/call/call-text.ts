// Checks, outlines and targets as text, as BuildKit prints them.
import { renderExcerpt } from '../../frontend/excerpt.ts';
import type { LintWarning } from '../../frontend/instruction.ts';
import type { Outline, OutlineNeed, TargetEntry } from '../../frontend/outline.ts';
import type { SourceFile } from '../../frontend/source-file.ts';

const GAP = 3;

/** How many warnings there are, and each with its lines. */
export function renderCheck(warnings: readonly LintWarning[], file: SourceFile): string {
  if (warnings.length === 0) return 'Check complete, no warnings found.\n';
  const count = warnings.length === 1 ? '1 warning has' : `${warnings.length} warnings have`;
  const shown = warnings.map(({ rule, url, detail, range }) => {
    const link = url === '' ? '' : ` - ${url}`;
    return `WARNING: ${rule}${link}\n${detail}\n${renderExcerpt(file, range)}`;
  });
  return `Check complete, ${count} been found!\n\n${shown.join('\n')}`;
}

/** The target, then a table each of what it takes. */
export function renderOutline({ name, description, args, secrets, agents }: Outline): string {
  const head = [
    ...(name === '' && description === '' ? [] : [['TARGET:', name]]),
    ...(description === '' ? [] : [['DESCRIPTION:', description]]),
  ];
  const tables = [
    head,
    table(
      ['BUILD ARG', 'VALUE', 'DESCRIPTION'],
      args.map((arg) => [arg.name, arg.value, arg.description]),
    ),
    table(['SECRET', 'REQUIRED'], secrets.map(needRow)),
    table(['SSH', 'REQUIRED'], agents.map(needRow)),
  ];
  return tables
    .filter((rows) => rows.length > 0)
    .map((rows) => `${align(rows)}\n`)
    .join('');
}

/** All targets, the default one marked. */
export function renderTargets(targets: readonly TargetEntry[]): string {
  const rows = targets.map(({ name, isDefault, description }) => [shownName(name, isDefault), description]);
  return align([['TARGET', 'DESCRIPTION'], ...rows]);
}

function shownName(name: string, isDefault: boolean): string {
  if (!isDefault) return name;
  return name === '' ? '(default)' : `${name} (default)`;
}

function needRow({ name, isRequired }: OutlineNeed): readonly string[] {
  return [name, isRequired ? 'true' : ''];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly (readonly string[])[] {
  return rows.length === 0 ? [] : [head, ...rows];
}

/** The last column is not padded, as with Go's tabwriter. */
function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? '')].length))) ?? [];
  return rows
    .map((row) => {
      const last = row.length - 1;
      return `${row.map((cell, at) => (at === last ? cell : cell.padEnd((widths[at] ?? 0) + GAP))).join('')}\n`;
    })
    .join('');
}
