// Which paths of a build context an ignore file excludes: patterns are rooted, the last one that matches wins, and one
// that matches a directory matches everything below it. This is not .gitignore's language.
import { type CompiledPattern, compilePattern, type IgnorePattern } from './dockerignore-pattern.ts';
import { ErrorCollector } from './error-collector.ts';
import { dockerfileError } from './errors.ts';
import { trimSpace } from './go-text.ts';
import { cleanPath } from './image-path.ts';
import { parseGlob } from './match-glob.ts';
import { lineRange, type SourceFile } from './source-file.ts';

/** A directory of a walk. Make one per directory, from its parent's; ask it about the names inside. */
export interface IgnoreState {
  /** The directory itself is excluded. */
  readonly excluded: boolean;
  /** Worth walking although excluded: a `!` pattern could match something below. */
  readonly mayHaveReincludedChildren: boolean;
  /** The pattern that excluded it. */
  readonly matchedPattern: IgnorePattern | undefined;
  /** The state of a directory in this one. */
  enter(dirName: string): IgnoreState;
  /** Whether a name in this directory is excluded; for files, makes no state. */
  excludes(name: string): boolean;
}

/** Paths are relative to the context, with slashes; a slash at either end does not matter. */
export interface PatternMatcher {
  readonly hasReincludes: boolean;
  /** Whether the path is excluded, by itself or through a parent. */
  matches(path: string): boolean;
  /** The pattern that excludes the path; undefined when it is not excluded. */
  explain(path: string): IgnorePattern | undefined;
  /** Where a walk begins: the context's root, never excluded. */
  root(): IgnoreState;
}

/** The patterns of an ignore file, cleaned. Throws TSB_DOCKERFILE_PATTERN `illegal exclusion pattern: "!"`. */
export function parseIgnoreFile(text: string): readonly string[] {
  return readIgnoreFile(text).map(({ pattern }) => pattern);
}

/** As {@link parseIgnoreFile}, with the line of each. */
export function readIgnoreFile(text: string): readonly IgnorePattern[] {
  const patterns = cleanLines(text);
  const bare = patterns.find(({ pattern }) => pattern === '!');
  if (bare !== undefined) throw bareExclamation(bare.line);
  return patterns;
}

/** Throws every TSB_DOCKERFILE_PATTERN of an ignore file, each with its place. */
export function checkIgnoreFile(file: SourceFile): void {
  const errors = new ErrorCollector();
  for (const { pattern, line } of cleanLines(file.text)) {
    errors.attempt(lineRange(file, line, line), () => {
      if (pattern === '!') throw bareExclamation(line);
      parseGlob(pattern.replace(/^!/, ''));
    });
  }
  errors.throwIfAny();
}

function cleanLines(text: string): readonly IgnorePattern[] {
  const patterns: IgnorePattern[] = [];
  for (const [index, raw] of text
    .replace(/^\ufeff/, '')
    .split('\n')
    .entries()) {
    if (raw.startsWith('#')) continue;
    const pattern = cleanLine(trimSpace(raw));
    if (pattern !== '') patterns.push({ pattern, line: index + 1 });
  }
  return patterns;
}

/**
 * Makes patterns ready for use; plain texts are numbered from 1 as lines. Throws TSB_DOCKERFILE_PATTERN for a bare `!`
 * and for `syntax error in pattern`.
 */
export function createPatternMatcher(patterns: readonly (string | IgnorePattern)[]): PatternMatcher {
  const compiled: CompiledPattern[] = [];
  for (const [index, one] of patterns.entries()) {
    const { pattern: text, line } = typeof one === 'string' ? { pattern: one, line: index + 1 } : one;
    const trimmed = trimSpace(text);
    if (trimmed === '') continue;
    const pattern = cleanPath(trimmed);
    if (pattern === '!') throw bareExclamation(line);
    compiled.push(compilePattern({ pattern, line }));
  }
  const root = rootState(compiled);
  return {
    hasReincludes: compiled.some(({ isReinclude }) => isReinclude),
    matches: (path) => explainPath(compiled, path) !== undefined,
    explain: (path) => explainPath(compiled, path),
    root: () => root,
  };
}

function cleanLine(line: string): string {
  const isReinclude = line.startsWith('!');
  const pattern = isReinclude ? trimSpace(line.slice(1)) : line;
  const cleaned = pattern === '' ? '' : cleanPath(pattern);
  const rooted = cleaned.length > 1 && cleaned.startsWith('/') ? cleaned.slice(1) : cleaned;
  return isReinclude ? `!${rooted}` : rooted;
}

function bareExclamation(line: number): Error {
  return dockerfileError('PATTERN', 'illegal exclusion pattern: "!"', {
    hint: `line ${line} of the ignore file needs a pattern behind its !`,
  });
}

function explainPath(patterns: readonly CompiledPattern[], path: string): IgnorePattern | undefined {
  const trimmed = path.replace(/^\/+|\/+$/g, '');
  if (trimmed === '.') return undefined;
  return decide(patterns, (pattern) => matchesWithParents(pattern, trimmed));
}

/** The last word on a path: what excludes it, or undefined. Only patterns that would change the answer are asked. */
function decide(
  patterns: readonly CompiledPattern[],
  matches: (pattern: CompiledPattern, index: number) => boolean,
): CompiledPattern | undefined {
  let excluding: CompiledPattern | undefined;
  for (const [index, pattern] of patterns.entries()) {
    if (pattern.isReinclude !== (excluding !== undefined)) continue;
    if (matches(pattern, index)) excluding = pattern.isReinclude ? undefined : pattern;
  }
  return excluding;
}

function matchesWithParents(pattern: CompiledPattern, path: string): boolean {
  if (pattern.matches(path)) return true;
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    if (pattern.matches(path.slice(0, slash))) return true;
  }
  return false;
}

const NOTHING: IgnoreState = {
  excluded: false,
  mayHaveReincludedChildren: false,
  matchedPattern: undefined,
  enter: () => NOTHING,
  excludes: () => false,
};

function rootState(patterns: readonly CompiledPattern[]): IgnoreState {
  if (patterns.length === 0) return NOTHING;
  const none = patterns.map(() => false);
  return directoryState(patterns, '', none, undefined);
}

/** `matched` says of each pattern whether it matches the directory or one above it, and so all that is in it. */
function directoryState(
  patterns: readonly CompiledPattern[],
  dir: string,
  matched: readonly boolean[],
  matchedPattern: CompiledPattern | undefined,
): IgnoreState {
  const prefix = dir === '' ? '' : `${dir}/`;
  const mayHaveReincludedChildren =
    matchedPattern !== undefined && patterns.some((pattern) => pattern.isReinclude && pattern.mayMatchBelow(dir));
  return {
    excluded: matchedPattern !== undefined,
    mayHaveReincludedChildren,
    matchedPattern,
    enter: (dirName) => {
      const path = prefix + dirName;
      const inside = patterns.map((pattern, index) => matched[index] === true || pattern.matches(path));
      return directoryState(
        patterns,
        path,
        inside,
        decide(patterns, (_, index) => inside[index] === true),
      );
    },
    excludes: (name) => {
      const path = prefix + name;
      return decide(patterns, (pattern, index) => matched[index] === true || pattern.matches(path)) !== undefined;
    },
  };
}
