// Wildcards of COPY and ADD sources: Go's filepath.Match, applied component by component.
// https://pkg.go.dev/path/filepath#Match: `*` and `?` stop at a slash, `[^a-z]` negates, a backslash escapes; there is no `**`.
import { TsbuildError } from '../../solver/errors.ts';
import type { FileNode, FileTree } from '../snapshot/file-tree.ts';
import { joinPath } from '../snapshot/root-view.ts';
import { cleanPath, splitPath } from './tree-path.ts';

/** True when the name has an unescaped `*`, `?` or `[`. */
export function containsWildcards(name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    const character = name[at];
    if (character === '\\') at++;
    else if (character === '*' || character === '?' || character === '[') return true;
  }
  return false;
}

/** The path up to its first component with a wildcard, and the components from there on. */
export function splitWildcards(path: string): { readonly prefix: string; readonly patterns: readonly string[] } {
  const parts = splitPath(path);
  const first = parts.findIndex(containsWildcards);
  if (first < 0) return { prefix: cleanPath(path), patterns: [] };
  return { prefix: `/${parts.slice(0, first).join('/')}`, patterns: parts.slice(first) };
}

/** A matcher for one component; throws TSB_COPY_PATTERN_INVALID. */
export function compileGlob(pattern: string): RegExp {
  let source = '';
  for (let at = 0; at < pattern.length; ) {
    const piece = translatePiece(pattern, at);
    source += piece.source;
    at = piece.end;
  }
  return new RegExp(`^${source}$`, 'su');
}

function translatePiece(pattern: string, at: number): { readonly source: string; readonly end: number } {
  const character = String.fromCodePoint(pattern.codePointAt(at) ?? 0);
  if (character === '*') return { source: '[^/]*', end: at + 1 };
  if (character === '?') return { source: '[^/]', end: at + 1 };
  if (character === '[') return translateClass(pattern, at + 1);
  if (character !== '\\') return { source: escapeRegExp(character), end: at + character.length };
  const escaped = characterAt(pattern, at + 1);
  return { source: escapeRegExp(escaped), end: at + 1 + escaped.length };
}

function translateClass(pattern: string, start: number): { readonly source: string; readonly end: number } {
  let at = start;
  let body = '';
  if (pattern[at] === '^') {
    body = '^';
    at++;
  }
  for (let ranges = 0; pattern[at] !== ']' || ranges === 0; ranges++) {
    const low = classCharacter(pattern, at);
    at = low.end;
    body += escapeClass(low.character);
    if (pattern[at] !== '-') continue;
    const high = classCharacter(pattern, at + 1);
    at = high.end;
    if (high.character < low.character) return { source: '[]', end: classEnd(pattern, at) };
    body += `-${escapeClass(high.character)}`;
  }
  return { source: `[${body}]`, end: at + 1 };
}

function classEnd(pattern: string, at: number): number {
  const end = pattern.indexOf(']', at);
  if (end < 0) throw badPattern(pattern);
  return end + 1;
}

function classCharacter(pattern: string, at: number): { readonly character: string; readonly end: number } {
  const isEscape = pattern[at] === '\\';
  if (!isEscape && (pattern[at] === '-' || pattern[at] === ']')) throw badPattern(pattern);
  const start = isEscape ? at + 1 : at;
  const character = characterAt(pattern, start);
  return { character, end: start + character.length };
}

function characterAt(pattern: string, at: number): string {
  const code = pattern.codePointAt(at);
  if (code === undefined) throw badPattern(pattern);
  return String.fromCodePoint(code);
}

function badPattern(pattern: string): TsbuildError {
  return new TsbuildError('TSB_COPY_PATTERN_INVALID', `syntax error in pattern "${pattern}"`, {
    hint: 'a "[" opens a set such as [a-z]; write [[] for the character itself',
  });
}

function escapeClass(character: string): string {
  return character === '-' ? '\\-' : escapeRegExp(character);
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

/**
 * The entries below `base` that the patterns match, one pattern for each level, in byte order of their paths.
 * Links are not followed on the way. `relative` is the path below the base.
 */
export function matchBelow(
  tree: FileTree,
  base: string,
  patterns: readonly string[],
): readonly { readonly node: FileNode; readonly relative: string }[] {
  const globs = patterns.map(compileGlob);
  const matches: { node: FileNode; relative: string }[] = [];
  const descend = (directory: string, relative: string, level: number): void => {
    const glob = globs[level];
    if (glob === undefined) return;
    for (const node of tree.list(directory)) {
      const name = node.path.slice(node.path.lastIndexOf('/') + 1);
      if (!glob.test(name)) continue;
      const path = relative === '' ? name : `${relative}/${name}`;
      if (level === globs.length - 1) matches.push({ node, relative: path });
      else if (node.type === 'dir') descend(joinPath(directory, name), path, level + 1);
    }
  };
  descend(base, '', 0);
  return matches;
}
