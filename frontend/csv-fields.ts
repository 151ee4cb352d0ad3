// One line of comma-separated values, as Go's encoding/csv reads it: the form of `--mount` and `--device`.

type CSVFields = { readonly fields: readonly string[]; readonly problem?: undefined } | { readonly problem: string };

/** The fields, or what is wrong in Go's words. */
export function readCSVFields(text: string): CSVFields {
  if (text === '') return { problem: 'EOF' };
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    const field = text.charAt(at) === '"' ? readQuoted(text, at) : readBare(text, at);
    if ('problem' in field) return field;
    fields.push(field.value);
    if (field.end >= text.length) return { fields };
    at = field.end + 1;
  }
}

type Field = { readonly value: string; readonly end: number } | { readonly problem: string };

function readBare(text: string, start: number): Field {
  const comma = text.indexOf(',', start);
  const end = comma < 0 ? text.length : comma;
  const value = text.slice(start, end);
  const quote = value.indexOf('"');
  if (quote < 0) return { value, end };
  return { problem: `parse error on line 1, column ${start + quote + 1}: bare " in non-quoted-field` };
}

function readQuoted(text: string, start: number): Field {
  let value = '';
  for (let at = start + 1; ; ) {
    const quote = text.indexOf('"', at);
    if (quote < 0) {
      return { problem: `parse error on line 1, column ${text.length + 1}: extraneous or missing " in quoted-field` };
    }
    value += text.slice(at, quote);
    const next = text.charAt(quote + 1);
    if (next === '' || next === ',') return { value, end: quote + 1 };
    if (next !== '"') {
      return { problem: `parse error on line 1, column ${quote + 1}: extraneous or missing " in quoted-field` };
    }
    value += '"';
    at = quote + 2;
  }
}
