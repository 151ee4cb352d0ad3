// Text as Go's standard library sees it (spaces, quoting, booleans): BuildKit's texts and rules are made of these.

const SPACE = '\\t\\n\\v\\f\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const SPACE_CHAR = new RegExp(`^[${SPACE}]$`);
const LEADING_SPACE = new RegExp(`^[${SPACE}]+`);
const TRAILING_SPACE = new RegExp(`[${SPACE}]$`);
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
const NAMED_ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

/** `unicode.IsSpace` for one character. */
export function isSpace(char: string): boolean {
  return char === ' ' || char === '\t' || (char !== '' && SPACE_CHAR.test(char));
}

/** `strings.TrimLeftFunc(text, unicode.IsSpace)`. */
export function trimSpaceStart(text: string): string {
  return text.replace(LEADING_SPACE, '');
}

/** `strings.TrimSpace`. */
export function trimSpace(text: string): string {
  const trimmed = trimSpaceStart(text);
  let end = trimmed.length;
  while (end > 0 && TRAILING_SPACE.test(trimmed.charAt(end - 1))) end -= 1;
  return trimmed.slice(0, end);
}

/** `strconv.Quote`, which is also `%q`. */
export function quoteGo(text: string): string {
  let quoted = '"';
  for (const char of text) quoted += NAMED_ESCAPES[char] ?? (PRINTABLE.test(char) ? char : escapeCodePoint(char));
  return `${quoted}"`;
}

function escapeCodePoint(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}

/** `strconv.ParseBool`; undefined when it is none. */
export function parseGoBool(text: string): boolean | undefined {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false;
  return undefined;
}
