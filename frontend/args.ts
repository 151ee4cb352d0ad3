// Build args and variables: which names an instruction may expand, and what they hold.
// A Variables map keeps its keys in the order a process environment gets them.
import type { Platform } from '../solver/op.ts';
import { formatPlatform } from './platform.ts';

/** Names with values, in order. */
export type Variables = ReadonlyMap<string, string>;

/** The variables with one set; a name that was there moves to the end, as in BuildKit. */
export function setVariable(variables: Variables, key: string, value: string): Variables {
  const changed = new Map(variables);
  changed.delete(key);
  return changed.set(key, value);
}

/** The variables without one. */
export function deleteVariable(variables: Variables, key: string): Variables {
  return new Map([...variables].filter(([name]) => name !== key));
}

/** The variables as a process environment: `NAME=value`. */
export function environmentList(variables: Variables): readonly string[] {
  return Array.from(variables, ([key, value]) => `${key}=${value}`);
}

/** `NAME=value` taken apart; without `=` the value is empty. */
export function splitPair(pair: string): readonly [string, string] {
  const equals = pair.indexOf('=');
  return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
}

interface AutomaticArgsOptions {
  readonly buildPlatform: Platform;
  readonly targetPlatform: Platform;
  /** The name of the stage that is built, if it has one. */
  readonly targetStage: string | undefined;
  readonly buildArgs: Readonly<Record<string, string>>;
}

/** BUILDPLATFORM, TARGETARCH and the others that exist without any ARG; a build arg of the same name wins. */
export function automaticArgs(options: AutomaticArgsOptions): Variables {
  const values: readonly (readonly [string, string])[] = [
    ...platformArgs('BUILD', options.buildPlatform),
    ...platformArgs('TARGET', options.targetPlatform),
    ['TARGETSTAGE', options.targetStage || 'default'],
  ];
  return new Map(values.map(([key, value]) => [key, buildArg(options.buildArgs, key) ?? value]));
}

/** The build arg given by the user, never one inherited from Object. */
export function buildArg(buildArgs: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(buildArgs, key) ? buildArgs[key] : undefined;
}

const PROXY_NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'] as const;

/** The predefined proxy args given, in upper and lower case, as every RUN gets them; undefined without any. */
export function proxyEnvironment(
  buildArgs: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> | undefined {
  const proxies: Record<string, string> = {};
  for (const key of Object.keys(buildArgs).sort()) {
    const name = PROXY_NAMES.find((proxy) => proxy === key.toUpperCase());
    const value = buildArg(buildArgs, key);
    if (name === undefined || value === undefined) continue;
    proxies[name] = value;
    proxies[name.toLowerCase()] = value;
  }
  return Object.keys(proxies).length === 0 ? undefined : proxies;
}

function platformArgs(prefix: string, platform: Platform): readonly (readonly [string, string])[] {
  return [
    [`${prefix}PLATFORM`, formatPlatform(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}OSVERSION`, platform.osVersion ?? ''],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ''],
  ];
}
