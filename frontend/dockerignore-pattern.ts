// One pattern of an ignore file, made ready to be asked about many paths.
import {
  type GlobStep,
  type GlobToken,
  isQuicklyMatched,
  matchGlob,
  matchSteps,
  parseGlob,
  tokenSource,
} from './match-glob.ts';

/** A pattern as text, and where it stands. */
export interface IgnorePattern {
  /** Cleaned, with its `!`. */
  readonly pattern: string;
  /** 1-based. */
  readonly line: number;
}

/** A pattern without its `!`. Paths are relative, with slashes, without one at the end. */
export interface CompiledPattern extends IgnorePattern {
  /** True for `!pattern`, which brings back what patterns before it excluded. */
  readonly isReinclude: boolean;
  matches(path: string): boolean;
  /** Whether a path below the directory could match. Errs on the side of true. */
  mayMatchBelow(dir: string): boolean;
}

/** Compiles a cleaned pattern; throws TSB_DOCKERFILE_PATTERN. */
export function compilePattern({ pattern, line }: IgnorePattern): CompiledPattern {
  const isReinclude = pattern.startsWith('!');
  const glob = isReinclude ? pattern.slice(1) : pattern;
  parseGlob(glob);
  const segments = glob.split('/');
  return {
    pattern,
    line,
    isReinclude,
    matches: compileMatcher(glob),
    mayMatchBelow: (dir) => mayMatchBelow(segments, dir.split('/')),
  };
}

/** Plain comparisons where they will do; a regular expression only behind a check of its literal ends. */
function compileMatcher(glob: string): (path: string) => boolean {
  const head = /^[^*?[\\]*/.exec(glob)?.[0] ?? '';
  if (head === glob) return (path) => path === glob;
  if (`${head}**` === glob) return (path) => path.startsWith(head);
  const tail = /[^*?[\]\\]*$/.exec(glob)?.[0] ?? '';
  if (glob === `**${tail}`) return suffixMatcher(tail);
  const steps = toSteps(parseGlob(glob));
  const expression = isQuicklyMatched(steps) ? toRegExp(steps) : undefined;
  const test = (path: string): boolean => expression?.test(path) ?? matchSteps(steps, path);
  // In `**/x` the slash may match nothing at all, so a tail behind `**` is checked without it.
  const literalTail = glob.endsWith(`**${tail}`) ? tail.replace(/^\//, '') : tail;
  return (path) => path.endsWith(literalTail) && path.startsWith(head) && test(path);
}

/** `**foo` and `**` + `/foo`: the latter also matches at the top. */
function suffixMatcher(tail: string): (path: string) => boolean {
  const top = tail.startsWith('/') ? tail.slice(1) : undefined;
  return (path) => path.endsWith(tail) || path === top;
}

const SLASH = { kind: 'literal', char: '/' } as const;
/** May match nothing, or anything up to a slash. */
const OPTIONAL_DEPTH = [{ kind: 'skip' }, { kind: 'deep' }, SLASH] as const;

/** Two stars side by side match slashes too; `**` and a slash together may match nothing. */
function toSteps(tokens: readonly GlobToken[]): readonly GlobStep[] {
  const steps: GlobStep[] = [];
  let wasDeep = false;
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (token === undefined) break;
    const isDeep = token.kind === 'any' && tokens[at + 1]?.kind === 'any';
    if (!isDeep) steps.push(token);
    else {
      at += isSlash(tokens[at + 2]) ? 2 : 1;
      // Repeated `**/` say nothing more.
      if (at === tokens.length - 1) steps.push({ kind: 'deep' });
      else if (!wasDeep) steps.push(...OPTIONAL_DEPTH);
    }
    wasDeep = isDeep;
  }
  return steps;
}

function toRegExp(steps: readonly GlobStep[]): RegExp {
  let source = '';
  for (let at = 0; at < steps.length; at += 1) {
    const step = steps[at];
    if (step === undefined) break;
    if (step.kind === 'skip') {
      source += '(?:.*/)?';
      at += 2;
    } else source += step.kind === 'deep' ? '.*' : tokenSource(step);
  }
  return new RegExp(`^${source}$`, 'su');
}

function isSlash(token: GlobToken | undefined): boolean {
  return token?.kind === 'literal' && token.char === '/';
}

function mayMatchBelow(pattern: readonly string[], dir: readonly string[]): boolean {
  for (const [index, name] of dir.entries()) {
    const segment = pattern[index];
    if (segment === undefined) return false;
    // A class may match a slash, and `**` any number of them.
    if (segment.includes('**') || segment.includes('[') || segment.endsWith('\\')) return true;
    if (!matchGlob(segment, name)) return false;
  }
  return pattern.length > dir.length;
}
