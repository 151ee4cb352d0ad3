// The lines progress shows for the steps of a build.
import type { Platform } from '../solver/op.ts';
import type { Variables } from './args.ts';
import { formatPlatform, normalizePlatform, parsePlatform } from './platform.ts';

interface StepNameOptions {
  /** The stage's name, or nothing. */
  readonly stageName: string;
  /** 1-based. */
  readonly step: number;
  readonly total: number;
  readonly isOnbuild: boolean;
  /** Set when several platforms are built. */
  readonly platform: Platform | undefined;
  readonly variables: Variables;
}

/** `[base 3/3] RUN …`, `[linux/arm64 1/2] COPY …`. */
export function stepName(text: string, options: StepNameOptions): string {
  const { stageName, step, total, isOnbuild, platform, variables } = options;
  if (total === 0) return text;
  const platformText = platform === undefined ? '' : `${formatPlatform(platform)}${crossTarget(platform, variables)} `;
  const stage = stageName === '' ? '' : `${stageName} `;
  const number = `${step}`.padStart(`${total}`.length);
  return `[${platformText}${stage}${number}/${total}] ${isOnbuild ? 'ONBUILD ' : ''}${text}`;
}

/** The keyword in upper case, the rest as it is. */
export function upperCaseKeyword(text: string): string {
  const blank = text.indexOf(' ');
  return blank < 0 ? text.toUpperCase() : text.slice(0, blank).toUpperCase() + text.slice(blank);
}

/** The step that reads the build context. */
export const LOAD_CONTEXT_NAME = '[internal] load build context';
/** The step that makes the file of a heredoc. */
export const INLINE_DOCUMENT_NAME = '[internal] preparing inline document';
/** The step that makes a cache mount's directory with the mode and owner asked for. */
export const CACHE_PERMISSIONS_NAME = '[internal] setting cache mount permissions';

/** The name of the step that reads the Dockerfile. */
export function loadDefinitionName(dockerfile: string): string {
  return `[internal] load build definition from ${dockerfile}`;
}

/** The name of the step that reads the ignore file. */
export function loadIgnoreFileName(ignoreFile = '.dockerignore'): string {
  return `[internal] load ${ignoreFile}`;
}

/** The name of the step that looks an image up; `reference` is the full name with its tag. */
export function loadMetadataName(reference: string, platform?: Platform): string {
  const prefix = platform === undefined ? '' : `${formatPlatform(platform)} `;
  return `[${prefix}internal] load metadata for ${reference}`;
}

/** What the stage builds for when its TARGET* variables name another processor than it runs on: `->arm64`. */
function crossTarget(base: Platform, variables: Variables): string {
  const wanted = targetPlatform(base, variables);
  if (wanted === undefined) return '';
  const target = normalizePlatform(wanted);
  if (target.os !== base.os) return `->${formatPlatform(target)}`;
  if (target.architecture === base.architecture) return '';
  return `->${[target.architecture, target.variant].filter((part) => part !== undefined).join('/')}`;
}

function targetPlatform(base: Platform, variables: Variables): Platform | undefined {
  const whole = variables.get('TARGETPLATFORM');
  if (whole !== undefined) return parseLoosely(whole, base);
  const os = variables.get('TARGETOS');
  const architecture = variables.get('TARGETARCH');
  const variant = variables.get('TARGETVARIANT');
  if (os === undefined && architecture === undefined && variant === undefined) return undefined;
  return { os: os || base.os, architecture: architecture || base.architecture, ...(variant && { variant }) };
}

function parseLoosely(text: string, base: Platform): Platform | undefined {
  try {
    return parsePlatform(text, base);
  } catch {
    return undefined;
  }
}
