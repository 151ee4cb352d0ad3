// The wildcard patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*` and `?` only, neither crosses a line end.

/** The value after the substitution, or what is wrong with the pattern. `pattern` is it as it was matched. */
interface PatternResult {
  readonly value: string;
  readonly pattern: string;
  readonly problem: string | undefined;
}

/** `${v#p}` and, when `isLongest`, `${v##p}`. */
export function trimPrefix(pattern: string, value: string, isLongest: boolean): PatternResult {
  return withPattern(pattern, value, (tokens) => {
    const chars = [...value];
    const end = matchFrom(tokens, chars, 0, isLongest);
    return end === undefined ? value : chars.slice(end).join('');
  });
}

/** `${v%p}` and, when `isLongest`, `${v%%p}`. */
export function trimSuffix(pattern: string, value: string, isLongest: boolean): PatternResult {
  const trimmed = trimPrefix(reversePattern(pattern), reverse(value), isLongest);
  return { ...trimmed, value: reverse(trimmed.value) };
}

/** `${v/p/r}` for the first match, `${v//p/r}` for all; matches are the longest. */
export function replacePattern(pattern: string, value: string, replacement: string, isAll: boolean): PatternResult {
  return withPattern(pattern, value, (tokens) => (isAll ? replaceAll : replaceFirst)(tokens, value, replacement));
}

function replaceFirst(tokens: readonly Token[], value: string, replacement: string): string {
  const chars = [...value];
  const match = findMatch(tokens, chars, 0);
  if (match === undefined) return value;
  return chars.slice(0, match.start).join('') + replacement + chars.slice(match.end).join('');
}

/** As Go's ReplaceAllString: an empty match directly behind a match is none, and the replacement is a template. */
function replaceAll(tokens: readonly Token[], value: string, replacement: string): string {
  const chars = [...value];
  let result = '';
  let copied = 0;
  let from = 0;
  let lastEnd = -1;
  while (from <= chars.length) {
    const match = findMatch(tokens, chars, from);
    if (match === undefined) break;
    result += chars.slice(copied, match.start).join('');
    if (match.end > match.start || match.start !== lastEnd) {
      result += expandTemplate(replacement, chars.slice(match.start, match.end).join(''));
    }
    copied = match.end;
    lastEnd = match.end;
    from = match.end > match.start ? match.end : match.end + 1;
    if (match.end === match.start) {
      result += chars[match.end] ?? '';
      copied = match.end + 1;
    }
  }
  return result + chars.slice(copied).join('');
}

/** Go's regexp.Expand: `$0` is the match, any other `$name` is empty, `$$` is a dollar. */
function expandTemplate(template: string, match: string): string {
  return template.replace(/\$(?:\$|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))?/gu, (text, braced, bare) => {
    if (text === '$$' || text === '$') return '$';
    return (braced ?? bare) === '0' ? match : '';
  });
}

type Token = { readonly kind: 'literal'; readonly char: string } | { readonly kind: 'one' } | { readonly kind: 'any' };

interface Pattern {
  readonly tokens: readonly Token[];
  readonly problem: string | undefined;
}

function withPattern(pattern: string, value: string, use: (tokens: readonly Token[]) => string): PatternResult {
  const { tokens, problem } = readPattern(pattern);
  return { value: problem === undefined ? use(tokens) : value, pattern, problem };
}

function readPattern(pattern: string): Pattern {
  const tokens: Token[] = [];
  const chars = [...pattern];
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at] ?? '';
    if (char === '*') tokens.push({ kind: 'any' });
    else if (char === '?') tokens.push({ kind: 'one' });
    else if (char !== '\\') tokens.push({ kind: 'literal', char });
    else if (chars[at + 1] !== '}' && chars[at + 1] !== '/') {
      at += 1;
      const escaped = chars[at] ?? '\ufffd';
      if (!'*?\\'.includes(escaped)) return { tokens, problem: `invalid escape '\\${escaped}'` };
      tokens.push({ kind: 'literal', char: escaped });
    }
  }
  return { tokens, problem: undefined };
}

function findMatch(tokens: readonly Token[], chars: readonly string[], from: number) {
  for (let start = from; start <= chars.length; start += 1) {
    const end = matchFrom(tokens, chars, start, true);
    if (end !== undefined) return { start, end };
  }
  return undefined;
}

/** Where a match that begins at `start` ends; all positions in the pattern are followed at once, so it is linear. */
function matchFrom(
  tokens: readonly Token[],
  chars: readonly string[],
  start: number,
  isLongest: boolean,
): number | undefined {
  let states = closeOver(tokens, new Set([0]));
  let end: number | undefined;
  for (let at = start; ; at += 1) {
    if (states.has(tokens.length)) {
      end = at;
      if (!isLongest) return end;
    }
    const char = chars[at];
    if (char === undefined || states.size === 0) return end;
    states = closeOver(tokens, step(tokens, states, char));
  }
}

function step(tokens: readonly Token[], states: ReadonlySet<number>, char: string): Set<number> {
  const next = new Set<number>();
  for (const state of states) {
    const token = tokens[state];
    if (token === undefined) continue;
    if (token.kind === 'literal' ? token.char !== char : char === '\n') continue;
    next.add(token.kind === 'any' ? state : state + 1);
  }
  return next;
}

/** A `*` may also stand for nothing. */
function closeOver(tokens: readonly Token[], states: Set<number>): Set<number> {
  for (const state of states) if (tokens[state]?.kind === 'any') states.add(state + 1);
  return states;
}

/** `a\*c` becomes `c\*a`: an escape stays before its character. */
function reversePattern(pattern: string): string {
  const parts = pattern.match(/\\[\s\S]|[\s\S]/gu) ?? [];
  return parts.reverse().join('');
}

function reverse(text: string): string {
  return [...text].reverse().join('');
}
