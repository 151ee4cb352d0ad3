// Wildcards of paths: Go's filepath.Match, and the tokens that ignore patterns share with it.
import { dockerfileError } from './errors.ts';

/** One element of a pattern. `any` and `one` do not match a slash. */
export type GlobToken =
  | { readonly kind: 'literal'; readonly char: string }
  | { readonly kind: 'one' }
  | { readonly kind: 'any' }
  | { readonly kind: 'class'; readonly isNegated: boolean; readonly ranges: readonly GlobRange[] };

/** Code points, both inclusive. */
type GlobRange = readonly [low: number, high: number];

/**
 * Whether `name` matches the whole `pattern`: `*` and `?` (no slash), `[a-z]`, `[^a-z]`, backslash escapes. Throws
 * TSB_DOCKERFILE_PATTERN `syntax error in pattern`.
 */
export function matchGlob(pattern: string, name: string): boolean {
  return matchSteps(parseGlob(pattern), name);
}

/** What a match goes through: `deep` takes anything, slashes too; `skip` may leave out the two steps behind it. */
export type GlobStep = GlobToken | { readonly kind: 'deep' } | { readonly kind: 'skip' };

/** A regular expression with more stars than that takes longer than anybody waits for a text that almost matches. */
const MAX_BACKTRACKING = 2;

/** True for steps that a regular expression, which is faster for most, may stand for. */
export function isQuicklyMatched(steps: readonly GlobStep[]): boolean {
  return steps.filter(({ kind }) => kind === 'any' || kind === 'deep').length <= MAX_BACKTRACKING;
}

/** Whether the whole text matches; the time grows with the product of both lengths and no further. */
export function matchSteps(steps: readonly GlobStep[], text: string): boolean {
  let states = closeOver(steps, new Set([0]));
  for (const char of text) {
    if (states.size === 0) return false;
    states = closeOver(steps, step(steps, states, char));
  }
  return states.has(steps.length);
}

/** The elements of a pattern; throws as {@link matchGlob} does. */
export function parseGlob(pattern: string): readonly GlobToken[] {
  const chars = [...pattern];
  const tokens: GlobToken[] = [];
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at] ?? '';
    if (char === '*') tokens.push({ kind: 'any' });
    else if (char === '?') tokens.push({ kind: 'one' });
    else if (char === '[') {
      const { token, end } = parseClass(chars, at + 1);
      tokens.push(token);
      at = end;
    } else if (char === '\\') {
      at += 1;
      tokens.push({ kind: 'literal', char: chars[at] ?? badPattern() });
    } else tokens.push({ kind: 'literal', char });
  }
  return tokens;
}

/** The regular expression of one element, for the flags `su`. */
export function tokenSource(token: GlobToken): string {
  if (token.kind === 'any') return '[^/]*';
  if (token.kind === 'one') return '[^/]';
  if (token.kind === 'literal') return codeSource(token.char.codePointAt(0) ?? 0);
  const ranges = token.ranges.filter(([low, high]) => low <= high).map(rangeSource);
  return `[${token.isNegated ? '^' : ''}${ranges.join('')}]`;
}

function rangeSource([low, high]: GlobRange): string {
  return `${codeSource(low)}-${codeSource(high)}`;
}

function codeSource(code: number): string {
  return `\\u{${code.toString(16)}}`;
}

/** From behind the `[ to its `]`, whose place is `end`. */
function parseClass(chars: readonly string[], start: number): { token: GlobToken; end: number } {
  const isNegated = chars[start] === '^';
  const ranges: GlobRange[] = [];
  let at = isNegated ? start + 1 : start;
  while (chars[at] !== ']' || ranges.length === 0) {
    const low = readClassChar(chars, at);
    at = low.next;
    const high = chars[at] === '-' ? readClassChar(chars, at + 1) : low;
    at = high.next;
    ranges.push([low.code, high.code]);
  }
  return { token: { kind: 'class', isNegated, ranges }, end: at };
}

function readClassChar(chars: readonly string[], at: number): { code: number; next: number } {
  const char = chars[at];
  if (char === undefined || char === '-' || char === ']') return badPattern();
  const escaped = char === '\\' ? chars[at + 1] : char;
  const next = char === '\\' ? at + 2 : at + 1;
  const code = escaped?.codePointAt(0);
  if (code === undefined || next >= chars.length) return badPattern();
  return { code, next };
}

function step(tokens: readonly GlobStep[], states: ReadonlySet<number>, char: string): Set<number> {
  const next = new Set<number>();
  for (const state of states) {
    const token = tokens[state];
    if (token !== undefined && accepts(token, char))
      next.add(token.kind === 'any' || token.kind === 'deep' ? state : state + 1);
  }
  return next;
}

function accepts(token: GlobStep, char: string): boolean {
  if (token.kind === 'literal') return token.char === char;
  if (token.kind === 'deep' || token.kind === 'skip') return token.kind === 'deep';
  if (token.kind !== 'class') return char !== '/';
  const code = char.codePointAt(0) ?? 0;
  return token.ranges.some(([low, high]) => low <= code && code <= high) !== token.isNegated;
}

/** A set goes on to what is added while it is walked. */
function closeOver(tokens: readonly GlobStep[], states: Set<number>): Set<number> {
  for (const state of states) {
    const kind = tokens[state]?.kind;
    if (kind === 'any' || kind === 'deep' || kind === 'skip') states.add(state + 1);
    if (kind === 'skip') states.add(state + 3);
  }
  return states;
}

function badPattern(): never {
  throw dockerfileError('PATTERN', 'syntax error in pattern');
}
