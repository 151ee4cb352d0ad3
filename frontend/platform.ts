// Platforms: parsing `os/arch[/variant]`, writing them, and choosing the best of an index.
// Grammar, aliases and texts: https://github.com/containerd/platforms
import { TsbuildError } from '../solver/errors.ts';
import type { Platform } from '../solver/op.ts';

const COMPONENT = /^[A-Za-z0-9_.-]+$/;
const OS_COMPONENT = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$/;

const KNOWN_OS: ReadonlySet<string> = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos'.split(
    ' ',
  ),
);
const KNOWN_ARCHITECTURES: ReadonlySet<string> = new Set(
  (
    '386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 ' +
    'mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm'
  ).split(' '),
);

/**
 * The platform a specifier names; what it leaves out comes from `local`, and `local` itself names that one.
 * Not normalised in its variant (`linux/arm` has none). Throws TSB_PLATFORM_INVALID.
 */
export function parsePlatform(specifier: string, local: Platform): Platform {
  if (specifier === 'local') return local;
  if (specifier.includes('*')) throw invalid(`"${specifier}": wildcards not yet supported: invalid argument`);
  const parts = specifier.split('/');
  const [first = '', second, third] = parts;
  const os = parseOS(first, specifier);
  for (const part of parts.slice(1)) checkComponent(part, specifier);
  if (second === undefined) return parseSingle(first, specifier, local);
  if (parts.length === 2) {
    const { architecture, variant } = normalizeArchitecture(second, '');
    return createPlatform(os, architecture, architecture === 'arm' && variant === 'v7' ? '' : variant);
  }
  if (parts.length === 3) {
    const { architecture, variant } = normalizeArchitecture(second, third ?? '');
    return createPlatform(os, architecture, architecture === 'arm64' && variant === '' ? 'v8' : variant);
  }
  throw invalid(`"${specifier}": cannot parse platform specifier: invalid argument`);
}

/** One spelling for equal platforms: `arm64` without `v8`, `arm` with `v7`. */
export function normalizePlatform(platform: Platform): Platform {
  const { architecture, variant } = normalizeArchitecture(platform.architecture, platform.variant ?? '');
  const { variant: _dropped, ...rest } = platform;
  return { ...rest, os: normalizeOS(platform.os), architecture, ...(variant !== '' && { variant }) };
}

/** `linux/arm/v7`, with the OS version when there is one: `windows(10.0.17763)/amd64`. */
export function formatPlatform(platform: Platform): string {
  const inBrackets = `${platform.osVersion ?? ''}${(platform.osFeatures ?? []).map((feature) => `+${feature}`).join('')}`;
  const os = inBrackets === '' ? platform.os : `${platform.os}(${inBrackets})`;
  return [os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== '').join('/');
}

/** True when an image for `candidate` runs where `wanted` is asked for. */
export function platformMatches(wanted: Platform, candidate: Platform): boolean {
  return preference(wanted, candidate) >= 0;
}

/** Orders candidates for `wanted`: negative when `left` fits better. A candidate that does not match comes last. */
export function comparePlatforms(wanted: Platform, left: Platform, right: Platform): number {
  return rank(preference(wanted, left)) - rank(preference(wanted, right));
}

function rank(place: number): number {
  return place < 0 ? Number.MAX_SAFE_INTEGER : place;
}

function preference(wanted: Platform, candidate: Platform): number {
  const key = platformKey(candidate);
  return fallbacks(normalizePlatform(wanted)).findIndex((fallback) => platformKey(fallback) === key);
}

function platformKey(platform: Platform): string {
  const { os, architecture, variant } = normalizePlatform(platform);
  return [os, architecture, variant ?? ''].join('/');
}

/** What a processor runs, best first: itself, its earlier variants, its 32-bit brother. */
function fallbacks(platform: Platform): readonly Platform[] {
  const { os, architecture, variant = '' } = platform;
  if (architecture === 'amd64') {
    const level = Number(variant.slice(1)) || 1;
    return [...levels(os, 'amd64', level, 1), { os, architecture: '386' }];
  }
  if (architecture === 'arm') return levels(os, 'arm', Number(variant.slice(1)) || 7, 5);
  if (architecture === 'arm64') {
    const [major = 8] = variant.slice(1).split('.').map(Number);
    const own: readonly Platform[] = [
      platform,
      ...(major > 8 ? levels(os, 'arm64', major, 8) : []),
      { os, architecture },
    ];
    return [...own, ...levels(os, 'arm', 8, 5)];
  }
  return [platform];
}

function levels(os: string, architecture: string, from: number, to: number): readonly Platform[] {
  return Array.from({ length: Math.max(from - to + 1, 1) }, (_unused, n) => ({
    os,
    architecture,
    variant: `v${from - n}`,
  }));
}

function parseOS(text: string, specifier: string): Platform {
  const match = OS_COMPONENT.exec(text);
  if (match === null) {
    throw invalid(
      `"${text}" is an invalid OS component of "${specifier}": OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$": invalid argument`,
    );
  }
  const [, os = '', osVersion = '', features = ''] = match;
  const osFeatures = features.split('+').filter((feature) => feature !== '');
  return {
    os: normalizeOS(os),
    architecture: '',
    ...(osVersion !== '' && { osVersion }),
    ...(osFeatures.length > 0 && { osFeatures }),
  };
}

function parseSingle(text: string, specifier: string, local: Platform): Platform {
  const os = parseOS(text, specifier);
  if (KNOWN_OS.has(os.os)) {
    const variant = local.architecture === 'arm' && local.variant !== 'v7' ? (local.variant ?? '') : '';
    return createPlatform(os, local.architecture, variant);
  }
  const { architecture, variant } = normalizeArchitecture(text, '');
  if (KNOWN_ARCHITECTURES.has(architecture)) {
    return createPlatform(
      { os: local.os, architecture },
      architecture,
      architecture === 'arm' && variant === 'v7' ? '' : variant,
    );
  }
  throw invalid(`"${specifier}": unknown operating system or architecture: invalid argument`);
}

function createPlatform(os: Platform, architecture: string, variant: string): Platform {
  return { ...os, architecture, ...(variant !== '' && { variant }) };
}

function checkComponent(part: string, specifier: string): void {
  if (COMPONENT.test(part)) return;
  throw invalid(
    `"${part}" is an invalid component of "${specifier}": platform specifier component must match "${COMPONENT.source}": invalid argument`,
  );
}

function normalizeOS(os: string): string {
  const lower = os.toLowerCase();
  return lower === 'macos' ? 'darwin' : lower;
}

function normalizeArchitecture(
  architectureAsWritten: string,
  variantAsWritten: string,
): { readonly architecture: string; readonly variant: string } {
  const architecture = architectureAsWritten.toLowerCase();
  const variant = variantAsWritten.toLowerCase();
  switch (architecture) {
    case 'i386':
      return { architecture: '386', variant: '' };
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return { architecture: 'amd64', variant: variant === 'v1' ? '' : variant };
    case 'aarch64':
    case 'arm64':
      return { architecture: 'arm64', variant: ['8', 'v8', 'v8.0'].includes(variant) ? '' : variant };
    case 'armhf':
      return { architecture: 'arm', variant: 'v7' };
    case 'armel':
      return { architecture: 'arm', variant: 'v6' };
    case 'arm':
      if (variant === '' || variant === '7') return { architecture, variant: 'v7' };
      return { architecture, variant: /^[568]$/.test(variant) ? `v${variant}` : variant };
    default:
      return { architecture, variant };
  }
}

function invalid(message: string): TsbuildError {
  return new TsbuildError('TSB_PLATFORM_INVALID', message, {
    hint: 'write a platform as os/architecture[/variant], such as linux/arm64',
  });
}
