// Which frontends a Dockerfile may ask for.
import { expect, test } from 'vitest';
import { frontendError } from '../../frontend/frontend-syntax.ts';

const errorOf = (text: string, buildArgs: Record<string, string> = {}) =>
  frontendError({ name: 'Dockerfile', text }, buildArgs);

test.each([
  'FROM scratch\n',
  '# syntax=docker/dockerfile\n',
  '# syntax=docker/dockerfile:1.7-labs\n',
  '# syntax = docker.io/docker/dockerfile-upstream:master@sha256:abc\n',
  '#syntax=mirror.example:5000/docker/dockerfile:1\n',
  '# syntax=dockerfile.v0\n',
  '# escape=`\n# syntax=docker/dockerfile:1\n',
  'FROM scratch\n# syntax=me/other:1\n',
])('%j is read', (text) => {
  expect(errorOf(text)).toBeUndefined();
});

test.each([
  ['# check=skip=all\n# syntax=me/other:1\nFROM x\n', 'me/other:1', 2],
  ['// syntax=me/dockerfile\n', 'me/dockerfile', 1],
  ['{"syntax": "me/json"}', 'me/json', 1],
])('%j asks for another frontend', (text, reference, line) => {
  const error = errorOf(text);
  expect(error?.code).toBe('TSB_DOCKERFILE_FRONTEND');
  expect(error?.message).toBe(`frontend "${reference}" is not supported: only docker/dockerfile is`);
  expect(error?.range?.start.line).toBe(line);
});

test('BUILDKIT_SYNTAX wins over the file, in both directions', () => {
  expect(errorOf('# syntax=me/other\n', { BUILDKIT_SYNTAX: 'docker/dockerfile' })).toBeUndefined();
  expect(errorOf('# syntax=docker/dockerfile\n', { BUILDKIT_SYNTAX: 'me/other' })?.message).toContain('"me/other"');
  expect(errorOf('# syntax=docker/dockerfile\n', { BUILDKIT_SYNTAX: '' })).toBeUndefined();
});
