// One line of CSV: fields separated by commas, in double quotes when they hold commas, quotes doubled inside quotes.

/** The fields, or undefined when quotes do not match. A quote inside an unquoted field is an error, as in Go's encoding/csv. */
export function parseCSVLine(line: string): readonly string[] | undefined {
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = field.exec(line);
    if (match === null) return undefined;
    fields.push(match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll('""', '"'));
    if (match[3] === '') return fields;
  }
}
