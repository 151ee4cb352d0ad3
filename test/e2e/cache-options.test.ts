// How layers and manifests of an exported cache are written, and several caches at once.
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { readLayout } from './cache-vectors.ts';
import { describeRoot, makeBase, outputOf, writeContext } from './harness.ts';
import { ran } from './ran-steps.ts';

const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';
const DOCKERFILE = 'FROM base\nRUN i=0; while [ $i -lt 9999 ]; do i=$((i+1)); echo line $i; done > /lines\n';
const MAGIC = { gzip: '1f8b', zstd: '28b5' };

describeRoot('options of --cache-to', {}, (caller) => {
  let context: string;
  beforeAll(() => {
    context = writeContext(caller, { Dockerfile: DOCKERFILE });
  });
  const build = (store: string, flags: readonly string[]): string => {
    const base = ['--build-context', `base=oci-layout://${makeBase()}`];
    const args = ['build', '--progress=plain', ...base, ...flags, context];
    const result = caller.tsbuild(args, { store: join(caller.home, store) });
    expect(result.status, outputOf(result)).toBe(0);
    return outputOf(result);
  };
  /** The layers of an export, each with what its bytes are; the step's own is the only one that is not pulled. */
  const exported = (name: string, options: string, store = 'store') => {
    const directory = join(caller.home, name);
    build(store, ['--cache-to', `type=local,dest=${directory},mode=max${options}`]);
    const { manifest, config, layout } = readLayout(directory);
    const digests: readonly string[] = config.layers.map(({ blob }: { blob: string }) => blob);
    const entries: readonly { mediaType: string; digest: string; size: number }[] =
      manifest.layers ?? manifest.manifests;
    const layers = entries.filter(({ digest }) => digests.includes(digest));
    const forms = layers.map(({ mediaType, digest }) => `${formOf(layout(digest))} ${mediaType}`).sort();
    return { directory, manifest, forms, sizes: layers.map(({ size }) => size) };
  };
  const total = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);

  it.each([
    ['gzip', 'gzip', `${OCI_LAYER}+gzip`],
    ['zstd', 'zstd', `${OCI_LAYER}+zstd`],
    ['uncompressed', 'tar', OCI_LAYER],
  ])('compression=%s is of what was made here, and with force-compression of all', (compression, form, mediaType) => {
    const made = exported(`made-${compression}`, `,compression=${compression}`);
    expect(made.forms).toContain(`${form} ${mediaType}`);
    const forced = exported(`forced-${compression}`, `,compression=${compression},force-compression=true`);
    expect(new Set(forced.forms)).toEqual(new Set([`${form} ${mediaType}`]));
    expect(forced.forms).toHaveLength(made.forms.length);
    expect(ran(build(`from-${compression}`, ['--cache-from', `type=local,src=${forced.directory}`]))).toEqual({});
  });

  it('compression-level makes layers shorter or longer', () => {
    const sizeAt = (level: number): number =>
      // What is here in the form is not compressed again, so each has a store of its own.
      total(exported(`level-${level}`, `,compression-level=${level}`, `store-${level}`).sizes);
    expect(sizeAt(9) + 50_000).toBeLessThan(sizeAt(0));
  });

  it('each export is a step of its own, named by its place', () => {
    const places = ['a', 'b', 'b'].map((name) => join(caller.home, `place-${name}`));
    const text = build(
      'places',
      places.flatMap((place) => ['--cache-to', `type=local,dest=${place}`]),
    );
    const steps = [...text.matchAll(/^#(\d+) exporting cache to client directory (.*)$/gm)];
    const names = new Map(steps.map(([, number, name]) => [number, name]));
    expect([...names.values()]).toEqual([places[0], places[1], `${places[1]} (2)`]);
    for (const number of names.keys()) expect(text).toMatch(new RegExp(`^#${number} DONE `, 'm'));
  });

  it('image-manifest and oci-mediatypes choose the manifest and its types', () => {
    const [plain, index, docker] = ['', ',image-manifest=false', ',oci-mediatypes=false'].map((options, at) =>
      exported(`form-${at}`, options),
    );
    expect(plain?.manifest.mediaType).toBe('application/vnd.oci.image.manifest.v1+json');
    expect(index?.manifest.mediaType).toBe('application/vnd.oci.image.index.v1+json');
    expect(index?.forms).toEqual(plain?.forms);
    expect(docker?.manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.list.v2+json');
    expect(docker?.forms).toContain('gzip application/vnd.docker.image.rootfs.diff.tar.gzip');
    expect(docker?.forms.join('\n')).not.toContain('vnd.oci');
  });

  it('a cache that is not there is a warning, and the next one serves', () => {
    const { directory } = exported('second', '');
    const from = ['none', directory].flatMap((src) => ['--cache-from', `type=local,src=${src}`]);
    const text = build('several', from);
    expect(text).toContain(
      `warning: cannot import the cache none: "${join(caller.home, 'none')}" is no OCI layout: there is no such directory`,
    );
    expect(ran(text)).toEqual({});
  });
});

function formOf(path: string): string {
  const file = openSync(path, 'r');
  const bytes = Buffer.alloc(2);
  readSync(file, bytes, 0, 2, 0);
  closeSync(file);
  const magic = bytes.toString('hex');
  return Object.entries(MAGIC).find(([, start]) => start === magic)?.[0] ?? 'tar';
}
