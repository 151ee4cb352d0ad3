// What a step was made of, readable: kept with its result, so that a later step in its place can be compared with it.
import type { Digest } from '../../solver/digest.ts';
import type { Miss } from '../../solver/miss.ts';
import type { ExecMount, ExecOp, FileAction, Platform } from '../../solver/op.ts';
import type { Vertex } from '../../solver/vertex.ts';
import { mountName } from '../ops/cache-mounts.ts';
import type { BaseText } from './base-text.ts';

/** One input of a step: what it is, and what of it counted. */
export interface InputParts {
  readonly name: string;
  readonly vertex: Digest;
  /** Of an image. */
  readonly image?: string;
  readonly from?: BaseText;
  readonly result?: string;
  readonly content?: Digest;
}

/** Readable, and small: digests stand for what is large. */
export interface StepParts {
  readonly vertex: Digest;
  readonly opDigest: Digest;
  readonly text: string;
  readonly image?: string;
  readonly from?: BaseText;
  readonly command?: string;
  readonly env?: readonly string[];
  /** Everything else of the op that counts, by name. */
  readonly settings: Readonly<Record<string, string>>;
  readonly inputs: readonly InputParts[];
}

/** The parts of a step that is about to run. */
export function partsOf(
  { vertex, cacheMap, inputs }: Miss,
  fromOf: (vertex: Vertex) => BaseText | undefined,
): StepParts {
  return {
    vertex: vertex.digest,
    opDigest: cacheMap.digest,
    text: placeOf(vertex.options.name).text,
    ...baseParts(vertex, fromOf),
    ...opParts(vertex),
    inputs: inputs.map(
      ({ vertex: input, result, content }): InputParts => ({
        name: input.options.name,
        vertex: input.digest,
        ...baseParts(input, fromOf),
        ...(result.id === undefined ? {} : { result: result.id }),
        ...(content === undefined ? {} : { content }),
      }),
    ),
  };
}

function baseParts(
  vertex: Vertex,
  fromOf: (vertex: Vertex) => BaseText | undefined,
): Pick<InputParts, 'image' | 'from'> {
  const image = imageOf(vertex);
  if (image === undefined) return {};
  const from = fromOf(vertex);
  return { image, ...(from === undefined ? {} : { from }) };
}

/** The source of an image, without its scheme; undefined for anything else. */
function imageOf({ op }: Vertex): string | undefined {
  if (op.kind !== 'source') return undefined;
  return /^(?:docker-image|oci-layout):\/\/(.*)$/s.exec(op.identifier)?.[1];
}

/** Where a step stands, from its name: `[build 2/4] RUN x` is step 2 of "build". */
export interface StepPlace {
  readonly stage: string;
  readonly index: number;
  /** The instruction, without an image's digest. */
  readonly text: string;
}

/** See StepPlace. */
export function placeOf(name: string): StepPlace {
  const match = /^\[(?:(.*?) )?\s*(\d+)\/\d+\] (.*)$/s.exec(name);
  if (match !== null) return { stage: match[1] ?? '', index: Number(match[2]), text: withoutDigest(match[3] ?? '') };
  const other = /^\[([^\]]*)\] (.*)$/s.exec(name);
  return { stage: other?.[1] ?? 'internal', index: 0, text: withoutDigest(other?.[2] ?? name) };
}

function withoutDigest(text: string): string {
  return text.replace(/@sha256:[0-9a-f]{64}/, '');
}

function opParts({ op }: Vertex): Pick<StepParts, 'command' | 'env' | 'settings'> {
  switch (op.kind) {
    case 'exec':
      return { command: op.meta.args.join(' '), env: op.meta.env, settings: execSettings(op) };
    case 'file':
      return { settings: Object.assign({}, ...op.actions.map(actionSettings)) };
    case 'source':
      return { settings: { source: withoutDigest(op.identifier), ...platformSetting(op.platform) } };
    case 'merge':
    case 'diff':
      return { settings: {} };
  }
}

function execSettings({ meta, mounts, network, security, secretEnv, platform }: ExecOp): Record<string, string> {
  const { user, cwd, hostname, extraHosts, ulimits, cgroupParent } = meta;
  return {
    cwd,
    network,
    security,
    ...platformSetting(platform),
    ...(user === undefined ? {} : { user }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(cgroupParent === undefined ? {} : { 'cgroup parent': cgroupParent }),
    ...(extraHosts === undefined ? {} : { 'added hosts': extraHosts.map(({ host }) => host).join(',') }),
    ...(ulimits === undefined ? {} : { ulimits: JSON.stringify(ulimits) }),
    ...Object.fromEntries((secretEnv ?? []).map(({ id, name }) => [`secret ${name}`, id])),
    ...Object.fromEntries(mounts.slice(1).map((mount) => [`mount ${mount.dest}`, mountText(mount)])),
  };
}

function mountText({ type, selector, readonly, cache, secret, ssh, tmpfs, input }: ExecMount): string {
  const id = secret?.id ?? ssh?.id;
  const permissions = secret ?? ssh;
  return [
    `type=${type}`,
    ...(cache === undefined ? [] : [`id=${mountName(cache.id)}`, `sharing=${cache.sharing}`]),
    ...(id === undefined ? [] : [`id=${id}`]),
    ...(permissions === undefined
      ? []
      : [`mode=${permissions.mode.toString(8)},uid=${permissions.uid},gid=${permissions.gid}`]),
    ...(selector === undefined ? [] : [`source=${selector}`]),
    ...(tmpfs?.sizeBytes === undefined ? [] : [`size=${tmpfs.sizeBytes}`]),
    ...(readonly === true ? ['ro'] : []),
    ...(input >= 0 ? ['from'] : []),
  ].join(',');
}

function actionSettings(action: FileAction, index: number): Record<string, string> {
  const { action: kind, ...rest } = action;
  const name = (key: string): string => (index === 0 ? key : `${key} of ${kind} ${index + 1}`);
  const entries = Object.entries(rest).filter(([key]) => !['input', 'secondaryInput', 'output'].includes(key));
  return Object.fromEntries(entries.map(([key, value]) => [name(key), settingText(value)]));
}

function settingText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  return JSON.stringify(value);
}

function platformSetting(platform: Platform | undefined): Record<string, string> {
  if (platform === undefined) return {};
  return { platform: [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/') };
}
