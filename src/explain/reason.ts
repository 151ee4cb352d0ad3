// Why a step ran, as records and as the words progress shows.
import { unreachable } from '../../solver/errors.ts';

type PathChange = 'content' | 'mode' | 'owner' | 'link' | 'type' | 'xattrs' | 'added' | 'removed' | 'renamed';

/** `old` and `new` are absent where there is nothing to tell. */
export type Reason =
  /** No build of this Dockerfile and context is on record. */
  | { readonly kind: 'first-build' }
  /** Earlier builds had no such step. */
  | { readonly kind: 'new-step' }
  /** `filter` is the stage or line that `--no-cache-filter` named; absent for `--no-cache`. */
  | { readonly kind: 'no-cache'; readonly filter?: string }
  | { readonly kind: 'instruction'; readonly old: string; readonly new: string }
  | { readonly kind: 'build-arg' | 'env'; readonly name: string; readonly old?: string; readonly new?: string }
  /** Another part of the op, such as `user`, `cwd`, `network` or `mount /root/.cache`. */
  | { readonly kind: 'setting' | 'mount'; readonly name: string; readonly old?: string; readonly new?: string }
  | {
      readonly kind: 'path';
      readonly path: string;
      readonly change: PathChange;
      readonly old?: string;
      readonly new?: string;
    }
  /** Many paths had the one mode and have the other now, as another umask makes it. Older records lack the paths. */
  | {
      readonly kind: 'modes';
      readonly count: number;
      readonly old: string;
      readonly new: string;
      readonly paths?: readonly string[];
    }
  /** `old` and `new` are digests. Where the name changed, `oldName` is the one before and `args` the build args that did it. */
  | {
      readonly kind: 'base';
      readonly name: string;
      readonly old: string;
      readonly new: string;
      readonly oldName?: string;
      readonly args?: readonly string[];
    }
  /** The step it stands on ran in this build, or is another one than `old`, or was made of something else than before. */
  | { readonly kind: 'parent'; readonly step: string; readonly old?: string; readonly hasRun?: boolean }
  /** It ran the last time, but did not end well. */
  | { readonly kind: 'unfinished'; readonly status: string }
  /** All is as it was, but the result is gone. */
  | { readonly kind: 'evicted' };

const SHOWN = 3;
const LONGEST = 80;

/** One line: the first reasons, and how many more there are. */
export function summarizeReasons(reasons: readonly Reason[]): string {
  const shown = reasons.slice(0, SHOWN).map((reason) => formatReason(reason, LONGEST));
  const more = reasons.length - shown.length;
  return `${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

/** One reason in words; texts are cut to `longest` characters. */
export function formatReason(reason: Reason, longest: number = Number.POSITIVE_INFINITY): string {
  const show = (text: string): string => shorten(text, longest);
  switch (reason.kind) {
    case 'first-build':
      return 'first build';
    case 'new-step':
      return 'new step';
    case 'no-cache':
      return reason.filter === undefined ? '--no-cache' : `--no-cache-filter ${show(reason.filter)}`;
    case 'instruction':
      return `instruction changed: ${show(reason.old)} -> ${show(reason.new)}`;
    case 'build-arg':
      return `build arg ${reason.name} ${change(reason, show)}`;
    case 'env':
      return `env ${reason.name} ${change(reason, show)}`;
    case 'setting':
    case 'mount':
      return `${reason.name} ${change(reason, show)}`;
    case 'path':
      return formatPath(reason);
    case 'modes':
      return `mode of ${reason.count} paths changed alike (${reason.old} -> ${reason.new}), as by another umask`;
    case 'base':
      return formatBase(reason);
    case 'parent':
      return reason.old === undefined
        ? `${show(reason.step)} ${reason.hasRun === true ? 'ran' : 'changed'}`
        : `stands on ${show(reason.step)} instead of ${show(reason.old)}`;
    case 'unfinished':
      return formatUnfinished(reason.status);
    case 'evicted':
      return 'its result was evicted';
    default:
      return unreachable(reason);
  }
}

function formatBase({ name, old, new: now, oldName, args = [] }: Reason & { kind: 'base' }): string {
  if (oldName === undefined) return `base image ${name} changed: ${shortDigest(old)} -> ${shortDigest(now)}`;
  return `base image changed: ${oldName} -> ${name}${args.length === 0 ? '' : ` (build arg ${args.join(', ')})`}`;
}

function formatUnfinished(status: string): string {
  if (status === 'failed') return 'it failed the last time';
  return status === 'canceled' ? 'it was canceled the last time' : 'it did not end the last time';
}

function formatPath({ path, change: what, old, new: now }: Reason & { kind: 'path' }): string {
  switch (what) {
    case 'added':
    case 'removed':
      return `${path} ${what}`;
    case 'renamed':
      return `${old ?? ''} renamed to ${path}`;
    case 'content':
    case 'xattrs':
      return `${path} changed (${what})`;
    default:
      return `${path} changed (${what} ${old ?? ''} -> ${now ?? ''})`;
  }
}

function change({ old, new: now }: { old?: string; new?: string }, show: (text: string) => string): string {
  if (old === undefined) return `added: ${show(now ?? '')}`;
  if (now === undefined) return `removed: ${show(old)}`;
  return `changed: ${show(old)} -> ${show(now)}`;
}

const PATHS_LISTED = 20;
const DIGITS_SHOWN = 12;

/** The same in full: the paths of many, digests, names of attributes; a line for each. */
export function explainReason(reason: Reason): readonly string[] {
  if (reason.kind === 'modes') {
    const { paths = [] } = reason;
    const more = paths.length - PATHS_LISTED;
    return [
      formatReason(reason),
      ...paths.slice(0, PATHS_LISTED).map((path) => `  ${path}`),
      ...(more > 0 ? [`  and ${more} more (--json lists them)`] : []),
    ];
  }
  if (reason.kind !== 'path' || reason.old === undefined || reason.new === undefined) return [formatReason(reason)];
  const { path, change: what, old, new: now } = reason;
  if (what === 'content') return [`${path} changed (content ${digits(old)} -> ${digits(now)})`];
  if (what === 'xattrs') return [`${path} changed (xattrs: ${xattrChanges(old, now)})`];
  return [formatReason(reason)];
}

function digits(digest: string): string {
  return digest.slice(0, DIGITS_SHOWN);
}

function xattrChanges(old: string, now: string): string {
  const [before, after] = [xattrsOf(old), xattrsOf(now)];
  const names = [...new Set([...before.keys(), ...after.keys()])].filter(
    (name) => before.get(name) !== after.get(name),
  );
  const verb = (name: string): string => {
    if (!before.has(name)) return 'added';
    return after.has(name) ? 'changed' : 'removed';
  };
  return names.map((name) => `${name} ${verb(name)}`).join(', ');
}

/** From names with values in hexadecimal, as lists of paths have them. */
function xattrsOf(text: string): ReadonlyMap<string, string> {
  const pairs = text.matchAll(/(?:^| )(.+?)=([0-9a-f]*)(?= |$)/g);
  return new Map([...pairs].map(([, name = '', value = '']) => [name, value]));
}

function shorten(text: string, longest: number): string {
  const line = text.replaceAll('\n', '\\n');
  return line.length > longest ? `${line.slice(0, longest - 1)}…` : line;
}

function shortDigest(digest: string): string {
  return digest.replace(/^(sha256:[0-9a-f]{12}).*$/, '$1');
}
