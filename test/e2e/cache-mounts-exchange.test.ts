// Cache mounts that travel with a cache: what moves, what comes back, and when.
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { describeRoot, makeBase, outputOf, REGISTRY, writeContext } from './harness.ts';
import { packagesOf, treeOf, writePackages } from './mount-files.ts';

function bytesIn(directory: string): number {
  return readdirSync(directory).reduce((sum, name) => sum + lstatSync(join(directory, name)).size, 0);
}

describeRoot('cache mounts in an exported cache', {}, (caller) => {
  let base: string;
  let context: string;
  let cache: string;
  beforeAll(() => {
    base = `base=oci-layout://${makeBase()}`;
    cache = join(caller.home, 'cache');
    context = writeContext(caller, { Dockerfile: dockerfile('true') });
  });

  const dockerfile = (command: string): string => `FROM base\nRUN --mount=type=cache,id=npm,target=/c ${command}\n`;
  const build = (store: string, flags: readonly string[], text?: string) => {
    const file = text === undefined ? [] : ['-f', '-'];
    const args = ['build', '--progress=plain', '--build-context', base, ...flags, ...file, context];
    const result = caller.tsbuild(args, { store: join(caller.home, store), ...(text && { input: text }) });
    expect(result.status, outputOf(result)).toBe(0);
    return outputOf(result);
  };
  const mountOf = (store: string): string => {
    const mounts = join(caller.home, store, 'mounts');
    return join(mounts, readdirSync(mounts)[0] ?? '', 'fs');
  };
  const to = (): readonly string[] => ['--cache-to', `type=local,dest=${cache},mounts=true`];
  const from = (): readonly string[] => ['--cache-from', `type=local,src=${cache}`];
  const blobs = (): string => join(cache, 'blobs', 'sha256');

  it('move less than 5 % after a change of 1 % all over them, and nothing after none', () => {
    build('first', []);
    const mount = mountOf('first');
    const numbers = packagesOf(27e6);
    const bytes = writePackages(mount, 'one', numbers);
    mkdirSync(join(mount, 'odd'), { mode: 0o700 });
    writeFileSync(join(mount, 'odd', 'empty'), '');
    chownSync(join(mount, 'odd', 'empty'), 1000, 1001);
    chmodSync(join(mount, 'odd', 'empty'), 0o4711);
    symlinkSync('../nowhere', join(mount, 'odd', 'link'));
    linkSync(join(mount, 'odd', 'empty'), join(mount, 'odd', 'twin'));
    build('first', to());
    const before = bytesIn(blobs());
    expect(before).toBeGreaterThan(bytes);

    build('first', to());
    expect(bytesIn(blobs())).toBe(before);

    const changed = numbers.filter((number) => number % 100 === 50);
    expect(writePackages(mount, 'two', changed)).toBeGreaterThan(bytes * 0.006);
    build('first', to());
    expect(bytesIn(blobs()) - before).toBeLessThan(bytes * 0.05);
  });

  it('come back whole for a step that runs and finds its mount empty', () => {
    const text = build('second', from(), dockerfile('ls /c'));
    expect(text).toContain(`importing cache mount npm from ${cache}`);
    expect(text).toMatch(/^#\d+ [\d.]+ content-v2$/m);
    expect(treeOf(mountOf('second'))).toEqual(treeOf(mountOf('first')));
  });

  it('do not come where every step is cached, and are not lost by exporting from there', () => {
    expect(build('third', [...from(), ...to()])).not.toContain('importing cache mount');
    expect(readdirSync(join(caller.home, 'third', 'mounts'))).toEqual([]);
    expect(build('fourth', from(), dockerfile('ls /c # again'))).toMatch(/^#\d+ [\d.]+ content-v2$/m);
  });

  it('do not come in the place of what is here, nor into a step without cache', () => {
    build('fifth', [], dockerfile('echo own > /c/own'));
    expect(build('fifth', from(), dockerfile('ls /c'))).toMatch(/^#\d+ [\d.]+ own$/m);
    expect(build('sixth', ['--no-cache', ...from()], dockerfile('ls /c'))).not.toContain('importing cache mount');
  });

  it('that are damaged are a warning, and the mount is empty', () => {
    const sizes = readdirSync(blobs()).map((name) => ({ name, size: lstatSync(join(blobs(), name)).size }));
    const pack = sizes.toSorted((a, b) => b.size - a.size)[0];
    const path = join(blobs(), pack?.name ?? '');
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.alloc(bytes.length));
    const text = build('seventh', from(), dockerfile('ls /c && echo went on'));
    expect(text).toContain(`warning: cannot import the cache mount "npm" from ${cache}: ${cache}: bad cache mounts: `);
    expect(text).toContain('went on');
    expect(readdirSync(mountOf('seventh'))).toEqual([]);
    rmSync(path);
    writeFileSync(path, bytes);
  });

  it('that begin with files of a stage stay here', () => {
    const text = `FROM base AS seed\nFROM base\nRUN --mount=type=cache,from=seed,id=s,target=/c true\n`;
    expect(build('eighth', to(), text)).toContain(
      `warning: the cache mount "s" begins with files of an image or stage: it is not exported to ${cache}`,
    );
  });

  for (const form of ['image-manifest=true', 'image-manifest=false']) {
    itNeeding(['lab'], `pass through a registry: ${form}`, () => {
      const ref = `${REGISTRY}/cacheio/mounts:${form.replace('=', '-')}`;
      const store = `registry-${form}`;
      build('first', ['--cache-to', `type=registry,ref=${ref},mounts=true,${form}`]);
      expect(build(store, ['--cache-from', ref], dockerfile('ls /c'))).toContain(
        `importing cache mount npm from ${ref}`,
      );
      expect(treeOf(mountOf(store))).toEqual(treeOf(mountOf('first')));
    });
  }
});
