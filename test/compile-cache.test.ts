import { describe, expect, it } from 'vitest';
import { compileCacheDirectory } from '../src/compile-cache.ts';

describe('compileCacheDirectory', () => {
  it.each([
    ['root, whoever their environment is of', { HOME: '/home/ada', XDG_CACHE_HOME: '/cache' }, 0, '/var/cache/tsbuild'],
    ['a user', { HOME: '/home/ada' }, 1000, '/home/ada/.cache/tsbuild'],
    ['a user with another place for caches', { HOME: '/home/ada', XDG_CACHE_HOME: '/cache' }, 1000, '/cache/tsbuild'],
    ['a place that is not absolute', { HOME: '/home/ada', XDG_CACHE_HOME: 'cache' }, 1000, '/home/ada/.cache/tsbuild'],
    ['a user without a home', { HOME: '' }, 1000, undefined],
    ['a user without an environment', {}, 1000, undefined],
  ])('of %s', (_, env, uid, directory) => {
    expect(compileCacheDirectory(env, uid)).toBe(directory);
  });
});
