// Image configs as they come from outside. Unknown keys are dropped, as are empty ones, which mean the same as none.
// https://github.com/opencontainers/image-spec/blob/main/config.md
import type { ContainerConfig, HealthcheckConfig, HistoryEntry, ImageConfig } from '../../frontend/image-config.ts';
import { type Digest, isDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Platform } from '../../solver/op.ts';
import { asRecord, fieldOf, parseJSON, shownJSON, stringMap } from './untrusted-json.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The config in the bytes; `name` is for messages. Throws TSB_IMAGE_CONFIG_INVALID. */
export function parseImageConfig(bytes: Uint8Array, name: string): ImageConfig {
  const fields = asRecord(parseJSON(bytes));
  if (fields === undefined) throw invalid(name, 'it is no JSON object');
  const features = strings(fields['os.features']);
  return {
    // Configs without them exist; they are of the time when there was nothing else.
    architecture: fieldOf(fields, 'architecture', 'string') || 'amd64',
    os: fieldOf(fields, 'os', 'string') || 'linux',
    ...textFields(fields, ['variant', 'os.version', 'author', 'created']),
    ...(features !== undefined && { 'os.features': features }),
    config: parseContainerConfig(asRecord(fields.config) ?? {}),
    rootfs: { type: 'layers', diff_ids: parseDiffIDs(asRecord(fields.rootfs) ?? {}, name) },
    history: (Array.isArray(fields.history) ? fields.history : []).map(parseHistory),
  };
}

/** What the config says it runs on. */
export function platformOf(config: ImageConfig): Platform {
  const { os, architecture, variant, 'os.version': osVersion, 'os.features': osFeatures } = config;
  return {
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    ...(osVersion !== undefined && { osVersion }),
    ...(osFeatures !== undefined && { osFeatures }),
  };
}

function parseDiffIDs(rootfs: Fields, name: string): readonly Digest[] {
  const diffIDs = rootfs.diff_ids ?? [];
  if (!Array.isArray(diffIDs)) throw invalid(name, 'its diff_ids are no list');
  return diffIDs.map((diffID: unknown) => {
    if (typeof diffID === 'string' && isDigest(diffID)) return diffID;
    throw invalid(name, `bad diffID ${shownJSON(diffID)}`);
  });
}

function parseContainerConfig(fields: Fields): ContainerConfig {
  const healthcheck = asRecord(fields.Healthcheck);
  const labels = stringMap(fields.Labels);
  const argsEscaped = fieldOf(fields, 'ArgsEscaped', 'boolean');
  return {
    ...textFields(fields, ['User', 'WorkingDir', 'StopSignal']),
    ...listFields(fields, ['Env', 'Entrypoint', 'Cmd', 'OnBuild', 'Shell']),
    ...setFields(fields, ['ExposedPorts', 'Volumes']),
    ...(labels !== undefined && { Labels: labels }),
    ...(argsEscaped === true && { ArgsEscaped: true }),
    ...(healthcheck !== undefined && { Healthcheck: parseHealthcheck(healthcheck) }),
  };
}

function parseHealthcheck(fields: Fields): HealthcheckConfig {
  const names = ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const;
  const numbers = names.flatMap((name) => {
    const value = fieldOf(fields, name, 'number');
    return value === undefined || value === 0 ? [] : [[name, value] as const];
  });
  return { ...listFields(fields, ['Test']), ...Object.fromEntries(numbers) };
}

function parseHistory(value: unknown): HistoryEntry {
  const fields = asRecord(value) ?? {};
  const isEmpty = fieldOf(fields, 'empty_layer', 'boolean') === true;
  return {
    ...textFields(fields, ['created', 'created_by', 'author', 'comment']),
    ...(isEmpty && { empty_layer: true }),
  };
}

function textFields<K extends string>(fields: Fields, names: readonly K[]): Partial<Record<K, string>> {
  return pick(names, (name) => fieldOf(fields, name, 'string') || undefined);
}

function listFields<K extends string>(fields: Fields, names: readonly K[]): Partial<Record<K, readonly string[]>> {
  return pick(names, (name) => strings(fields[name]));
}

function setFields<K extends string>(
  fields: Fields,
  names: readonly K[],
): Partial<Record<K, Record<string, Record<string, never>>>> {
  return pick(names, (name) => {
    const keys = Object.keys(asRecord(fields[name]) ?? {});
    return keys.length === 0 ? undefined : Object.fromEntries(keys.map((key) => [key, {}]));
  });
}

function pick<K extends string, V>(names: readonly K[], read: (name: K) => V | undefined): Partial<Record<K, V>> {
  const found: Partial<Record<K, V>> = {};
  for (const name of names) {
    const value = read(name);
    if (value !== undefined) found[name] = value;
  }
  return found;
}

function strings(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  return value.filter((one): one is string => typeof one === 'string');
}

function invalid(name: string, fact: string): TsbuildError {
  return new TsbuildError('TSB_IMAGE_CONFIG_INVALID', `${name}: bad image config: ${fact}`, {
    hint: 'the image is damaged, or no container image: use another one',
  });
}
