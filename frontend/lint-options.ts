// What `# check=…` asks for, in the file's head, above one instruction, or as build arg BUILDKIT_DOCKERFILE_CHECK.
import { dockerfileError } from './errors.ts';
import { parseGoBool } from './go-text.ts';

export interface LintOptions {
  /** Rule names, or everything. */
  readonly skip: ReadonlySet<string> | 'all';
  readonly experimental: ReadonlySet<string> | 'all';
  /** Warnings make the build fail. */
  readonly isError: boolean;
}

const DEFAULT_OPTIONS: LintOptions = { skip: new Set(), experimental: new Set(), isError: false };

/** Parts joined by `;`: `skip=A,B;error=true;experimental=all`. Throws TSB_DOCKERFILE_CHECK. */
export function parseLintOptions(text: string): LintOptions {
  return text
    .split(';')
    .filter((part) => part.trim() !== '')
    .reduce(applyPart, DEFAULT_OPTIONS);
}

/** The options with what a comment above one instruction adds to what is skipped. */
export function withSkips(options: LintOptions, comments: readonly string[]): LintOptions {
  const texts = comments.flatMap((comment) => /^\s*check\s*=\s*(.+?)\s*$/i.exec(comment)?.[1] ?? []);
  const added = texts.map((text) => parseLintOptions(text).skip);
  if (options.skip === 'all' || added.includes('all')) return { ...options, skip: 'all' };
  const names = added.flatMap((skip) => (skip === 'all' ? [] : [...skip]));
  return names.length === 0 ? options : { ...options, skip: new Set([...options.skip, ...names]) };
}

function applyPart(options: LintOptions, part: string): LintOptions {
  const equals = part.indexOf('=');
  const key = part.slice(0, Math.max(equals, 0)).trim();
  const value = part.slice(equals + 1).trim();
  if (equals >= 0 && key === 'skip') return { ...options, skip: names(value) };
  if (equals >= 0 && key === 'experimental') return { ...options, experimental: names(value) };
  if (equals >= 0 && key === 'error') return { ...options, isError: readBool(value) };
  throw dockerfileError('CHECK', `invalid check option "${equals < 0 ? part : key}"`, {
    hint: 'use skip=…, error=true or experimental=…',
  });
}

function names(value: string): ReadonlySet<string> | 'all' {
  const words = value.split(',').map((word) => word.trim());
  return words.length === 1 && words[0]?.toLowerCase() === 'all' ? 'all' : new Set(words);
}

function readBool(value: string): boolean {
  const flag = parseGoBool(value);
  if (flag !== undefined) return flag;
  throw dockerfileError(
    'CHECK',
    `failed to parse check option error: strconv.ParseBool: parsing "${value}": invalid syntax`,
  );
}
