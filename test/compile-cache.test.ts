import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compileCacheDirectory, isOwn } from '../src/compile-cache.ts';
import { itNeeding } from './needs.ts';

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

describe('useCompileCache', () => {
  function makePlace(): string {
    const place = mkdtempSync(join(tmpdir(), 'tsbuild-compiled-'));
    onTestFinished(() => rmSync(place, { recursive: true }));
    return place;
  }

  function use(directory: string): readonly string[] {
    const module = new URL('../src/compile-cache.ts', import.meta.url).href;
    const script = `(await import(${JSON.stringify(module)})).useCompileCache(process.argv[1]); await import('node:os');`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script, directory]);
    expect([status, String(stderr)]).toEqual([0, '']);
    return readdirSync(directory);
  }

  it('keeps what it makes where its owner alone can write', () => {
    const place = makePlace();
    expect(use(join(place, 'new/tsbuild'))).toHaveLength(1);
    expect(isOwn(join(place, 'new/tsbuild'))).toBe(true);
  });

  it('goes without where others can write, or behind a link', () => {
    const place = makePlace();
    for (const [name, mode] of [
      ['group', 0o720],
      ['others', 0o702],
    ] as const) {
      mkdirSync(join(place, name));
      chmodSync(join(place, name), mode);
      expect(use(join(place, name))).toEqual([]);
    }
    mkdirSync(join(place, 'own'));
    symlinkSync('own', join(place, 'link'));
    expect(use(join(place, 'link'))).toEqual([]);
  });

  itNeeding(['root'], 'goes without in a directory of another user', () => {
    const place = makePlace();
    chownSync(place, 1234, 1234);
    expect(use(place)).toEqual([]);
  });
});
