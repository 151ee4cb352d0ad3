import { describe, expect, test } from 'vitest';
import {
  digestProblem,
  familiarName,
  formatReference,
  parseReference,
  withDefaultTag,
} from '../../frontend/reference.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

describe('parseReference', () => {
  test.each([
    ['debian', 'docker.io/library/debian', 'debian'],
    ['debian:bookworm', 'docker.io/library/debian:bookworm', 'debian:bookworm'],
    ['user/app:1', 'docker.io/user/app:1', 'user/app:1'],
    ['docker.io/debian', 'docker.io/library/debian', 'debian'],
    ['index.docker.io/user/app', 'docker.io/user/app', 'user/app'],
    ['localhost/x', 'localhost/x', 'localhost/x'],
    ['host:5000/x/y:tag', 'host:5000/x/y:tag', 'host:5000/x/y:tag'],
    [`host:5000/x/y:tag@${DIGEST}`, `host:5000/x/y:tag@${DIGEST}`, `host:5000/x/y:tag@${DIGEST}`],
    [`debian@${DIGEST}`, `docker.io/library/debian@${DIGEST}`, `debian@${DIGEST}`],
    ['[::1]:5000/x', '[::1]:5000/x', '[::1]:5000/x'],
    ['docker.io/library/a/b', 'docker.io/library/a/b', 'library/a/b'],
    ['a__b/c-d.e', 'docker.io/a__b/c-d.e', 'a__b/c-d.e'],
  ])('%s is %s in full and %s among friends', (name, full, familiar) => {
    const reference = parseReference(name);
    expect(formatReference(reference)).toBe(full);
    expect(familiarName(name)).toBe(familiar);
  });

  test.each([
    ['Base', 'invalid reference format: repository name (library/Base) must be lowercase'],
    ['Foo:Bar:Baz', 'invalid reference format: repository name (library/Foo) must be lowercase'],
    ['', 'invalid reference format'],
    ['x_', 'invalid reference format'],
    ['a b', 'invalid reference format'],
    ['a:', 'invalid reference format'],
    ['a//b', 'invalid reference format'],
    [`a@sha256:${'0'.repeat(40)}`, 'invalid checksum digest length'],
    [`a@md5:${'0'.repeat(32)}`, 'unsupported digest algorithm'],
    ['f'.repeat(64), `invalid repository name (${'f'.repeat(64)}), cannot specify 64-byte hexadecimal strings`],
    [`h.io/${'a'.repeat(256)}`, 'repository name must not be more than 255 characters'],
  ])('%j is refused', (name, message) => {
    expect(() => parseReference(name)).toThrow(expect.objectContaining({ code: 'TSB_REFERENCE_INVALID', message }));
  });
});

describe('withDefaultTag', () => {
  test('only a name without tag and digest becomes latest', () => {
    expect(formatReference(withDefaultTag(parseReference('x')))).toBe('docker.io/library/x:latest');
    expect(formatReference(withDefaultTag(parseReference('x:1')))).toBe('docker.io/library/x:1');
    expect(formatReference(withDefaultTag(parseReference(`x@${DIGEST}`)))).toBe(`docker.io/library/x@${DIGEST}`);
  });
});

describe('digestProblem', () => {
  test.each([
    [DIGEST, undefined],
    ['sha256:zz', 'invalid checksum digest length'],
    [`sha256:${'z'.repeat(64)}`, 'invalid checksum digest format'],
    ['md5:00', 'unsupported digest algorithm'],
    ['abc', 'invalid checksum digest format'],
  ])('%s: %s', (text, problem) => {
    expect(digestProblem(text)).toBe(problem);
  });
});
