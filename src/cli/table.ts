// Text in columns, and sizes and ages as people read them.

/** Each row's cells padded to the widest of their column, two blanks between. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** One JSON object a line. */
export function jsonLines(rows: readonly unknown[]): string {
  return rows.map((row) => jsonLine(row)).join('');
}

/** One line of JSON; points in time are whole ms, as others expect of them. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value, (key, part: unknown) => (key.endsWith('AtMs') && typeof part === 'number' ? Math.floor(part) : part))}\n`;
}

/** `3 minutes ago`. */
export function formatAge(ms: number): string {
  const units: readonly (readonly [number, string])[] = [
    [86_400_000, 'day'],
    [3_600_000, 'hour'],
    [60_000, 'minute'],
    [1000, 'second'],
  ];
  for (const [size, name] of units) {
    const count = Math.floor(ms / size);
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}
