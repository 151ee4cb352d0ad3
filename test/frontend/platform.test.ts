import { describe, expect, test } from 'vitest';
import {
  comparePlatforms,
  formatPlatform,
  normalizePlatform,
  parsePlatform,
  platformMatches,
} from '../../frontend/platform.ts';

const LOCAL = { os: 'linux', architecture: 'amd64' };
const parse = (text: string) => parsePlatform(text, LOCAL);
const normal = (text: string) => formatPlatform(normalizePlatform(parse(text)));

describe('parsePlatform', () => {
  test.each([
    ['linux/amd64', 'linux/amd64'],
    ['linux/x86_64', 'linux/amd64'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/v7', 'linux/arm/v7'],
    ['linux/arm/6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['Linux/AMD64', 'linux/amd64'],
    ['linux', 'linux/amd64'],
    ['arm64', 'linux/arm64'],
    ['local', 'linux/amd64'],
    ['windows(10.0.17763)/amd64', 'windows(10.0.17763)/amd64'],
  ])('%s is %s', (text, formatted) => {
    expect(normal(text)).toBe(formatted);
  });

  test.each([
    ['foo/bar/baz/qux', '"foo/bar/baz/qux": cannot parse platform specifier: invalid argument'],
    ['foo', '"foo": unknown operating system or architecture: invalid argument'],
    [
      'linux/a$b',
      '"a$b" is an invalid component of "linux/a$b": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument',
    ],
    ['linux/*', '"linux/*": wildcards not yet supported: invalid argument'],
  ])('%s is refused', (text, message) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'TSB_PLATFORM_INVALID', message }));
  });
});

describe('choosing from an index', () => {
  const best = (wanted: string, candidates: readonly string[]) =>
    candidates
      .map(parse)
      .filter((candidate) => platformMatches(parse(wanted), candidate))
      .sort((left, right) => comparePlatforms(parse(wanted), left, right))
      .map(formatPlatform)
      .at(0);

  test('the same processor wins over one that also runs', () => {
    expect(best('linux/arm64', ['linux/arm/v7', 'linux/arm64/v8', 'linux/amd64'])).toBe('linux/arm64/v8');
  });

  test('the best earlier variant is taken', () => {
    expect(best('linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm64'])).toBe('linux/arm/v6');
    expect(best('linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2'])).toBe('linux/amd64/v2');
  });

  test('a later variant, another system and an attestation do not match', () => {
    expect(best('linux/arm/v6', ['linux/arm/v7'])).toBeUndefined();
    expect(best('linux/amd64', ['windows/amd64'])).toBeUndefined();
    expect(platformMatches(parse('linux/amd64'), { os: 'unknown', architecture: 'unknown' })).toBe(false);
  });
});
