// What differs between a step and the one that stood in its place.
import type { Digest } from '../../solver/digest.ts';
import type { Miss } from '../../solver/miss.ts';
import { changedArgs } from './base-text.ts';
import type { Reason } from './reason.ts';
import { type InputParts, placeOf, type StepParts } from './step-parts.ts';

/** A vertex that may be an image. */
type Based = Pick<InputParts, 'vertex' | 'image' | 'from'>;

interface CompareOptions {
  /** True for a variable that an ARG sets. */
  readonly isBuildArg: (name: string) => boolean;
  /** What differs in the selected content of an input, path by path; none when that is not known. */
  readonly comparePaths: (input: number) => readonly Reason[];
  /** True when the build compared with had an image of the same name in the place of this one. */
  readonly isSameName: (vertex: Digest) => boolean;
}

/** Reasons, the step's own first; none when nothing differs. */
export function compareParts(old: StepParts, now: StepParts, miss: Miss, options: CompareOptions): readonly Reason[] {
  return [
    ...ownReasons(old, now, options),
    ...miss.inputs.flatMap(({ hasRun, content }, index) => {
      const [before, after] = [old.inputs[index], now.inputs[index]];
      if (before === undefined || after === undefined) return [];
      return content === undefined
        ? parentReasons(before, after, hasRun, options)
        : contentReasons(before, after, index, options);
    }),
  ];
}

function ownReasons(old: StepParts, now: StepParts, options: CompareOptions): readonly Reason[] {
  const base = baseReason(old, now, options);
  if (base !== undefined) return [base];
  if (old.opDigest === now.opDigest) return [];
  const settings = settingReasons(old.settings, now.settings);
  const env = envReasons(old.env ?? [], now.env ?? [], options.isBuildArg);
  // A name shows the values of variables: the same command with another value is no other instruction.
  const isSameCommand = old.command !== undefined && old.command === now.command;
  if (old.text !== now.text && !(isSameCommand && env.length + settings.length > 0)) {
    const shownByText = settings.filter(
      ({ kind, name }) => kind === 'setting' && ['platform', 'user', 'cwd', 'network'].includes(name),
    );
    return [{ kind: 'instruction', old: old.text, new: now.text }, ...env, ...shownByText];
  }
  if (old.command === now.command) return [...env, ...settings];
  return [{ kind: 'setting', name: 'command', ...sides(old.command, now.command) }, ...env, ...settings];
}

function envReasons(
  old: readonly string[],
  now: readonly string[],
  isBuildArg: (name: string) => boolean,
): readonly Reason[] {
  const [before, after] = [variables(old), variables(now)];
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
    (name) => before.get(name) !== after.get(name),
  );
  const reasons = changed.map(
    (name): Reason => ({
      kind: isBuildArg(name) ? 'build-arg' : 'env',
      name,
      ...sides(before.get(name), after.get(name)),
    }),
  );
  if (reasons.length > 0 || old.join('\0') === now.join('\0')) return reasons;
  return [
    {
      kind: 'setting',
      name: 'order of variables',
      old: [...before.keys()].join(' '),
      new: [...after.keys()].join(' '),
    },
  ];
}

function variables(env: readonly string[]): ReadonlyMap<string, string> {
  return new Map(env.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
}

function settingReasons(
  old: StepParts['settings'],
  now: StepParts['settings'],
): readonly (Reason & { kind: 'setting' | 'mount' })[] {
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter(
    (name) => counted(name, old[name]) !== counted(name, now[name]),
  );
  return names.map((name) => ({
    kind: name.startsWith('mount ') ? 'mount' : 'setting',
    name,
    ...sides(inUsersWords(name, old[name]), inUsersWords(name, now[name])),
  }));
}

/** Of a setting's text, what is part of the key: the id and the sharing of a cache mount are when they are the defaults. */
function counted(name: string, text: string | undefined): string | undefined {
  const [, id, sharing, rest] = /^type=cache,id=(.*),sharing=([a-z]+)(.*)$/s.exec(text ?? '') ?? [];
  if (id === undefined) return text;
  const isDefaultID = [id, `/${id}`, id.slice(id.indexOf('/') + 1)].some((path) => name === `mount ${path}`);
  return isDefaultID && sharing === 'shared' ? text : `type=cache${rest ?? ''}`;
}

function inUsersWords(name: string, text: string | undefined): string | undefined {
  return name === 'network' && text === 'sandbox' ? 'default' : text;
}

function parentReasons(old: InputParts, now: InputParts, hasRun: boolean, options: CompareOptions): readonly Reason[] {
  const base = baseReason(old, now, options);
  if (base !== undefined) return [base];
  // The same files are the same parent, also where another step made them.
  const isKnown = old.vertex === now.vertex || now.result !== undefined;
  if (!hasRun && isKnown && old.result === now.result) return [];
  // What stood there may be another step, of which nothing had to run.
  const isOther = !hasRun && placeOf(old.name).text !== placeOf(now.name).text;
  return [{ kind: 'parent', step: now.name, ...(isOther ? { old: old.name } : {}), ...(hasRun ? { hasRun } : {}) }];
}

function contentReasons(old: InputParts, now: InputParts, index: number, options: CompareOptions): readonly Reason[] {
  if (old.content === now.content) return [];
  const paths = options.comparePaths(index);
  return paths.length > 0 ? paths : [{ kind: 'parent', step: now.name }];
}

function baseReason(old: Based, now: Based, { isSameName }: CompareOptions): Reason | undefined {
  if (old.image === undefined || now.image === undefined || old.image === now.image) return undefined;
  const [oldName = '', oldDigest = old.image] = old.image.split('@');
  const [name = '', digest = now.image] = now.image.split('@');
  const base = { kind: 'base', name, old: oldDigest, new: digest } as const;
  // Equal steps on equal images share what is known of them, whatever their names: the build knows its own.
  if (oldName === name || isSameName(now.vertex)) return base;
  const args = changedArgs(old.from, now.from);
  return { ...base, oldName, ...(args.length === 0 ? {} : { args }) };
}

function sides(old: string | undefined, now: string | undefined): { readonly old?: string; readonly new?: string } {
  return { ...(old === undefined ? {} : { old }), ...(now === undefined ? {} : { new: now }) };
}
