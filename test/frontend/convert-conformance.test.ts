// The image configs of the conformance cases: ours, on the lab's base images, against BuildKit's.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeNeeding } from '../needs.ts';
import type { ContainerConfig } from '../../frontend/image-config.ts';
import { convertText } from './convert-dockerfile.ts';
import type { FakeImage } from './fake-image-resolver.ts';
import { FakeImageResolver } from './fake-image-resolver.ts';

const conformance = new URL('../../../shared/conformance/', import.meta.url);
const lab = join(process.env.TSBUILD_LAB ?? join(homedir(), '.cache/tsbuild-lab'), 'oci');
const canRun = existsSync(conformance) && existsSync(lab);

/** The upstream names of the lab's images. */
const IMAGES: Readonly<Record<string, string>> = {
  'mirror.gcr.io/busybox:latest': 'busybox',
  'mirror.gcr.io/busybox@sha256:9ae97d36d26566ff84e8893c64a6dc4fe8ca6d1144bf5b87b2b85a32def253c7': 'busybox',
  'mirror.gcr.io/alpine:latest': 'alpine',
  'quay.io/libpod/centos:7': 'centos',
  'quay.io/fedora/python-311:latest': 'python-311',
};

/** Refused for their text; others that fail do so for the files they meet. */
const REFUSED: ReadonlySet<string> = new Set(['environment', 'env-invalid-ssquote']);

interface Descriptor {
  readonly digest: string;
}

interface ConformanceCase {
  readonly buildArgs?: Readonly<Record<string, string>>;
}

interface Expected {
  readonly status: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly history?: number;
}

function readJSON<T>(path: string | URL): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

function readImage(name: string): FakeImage {
  const layout = join(lab, name);
  const blob = <T>({ digest }: Descriptor) => readJSON<T>(join(layout, 'blobs', digest.replace(':', '/')));
  const first = ({ manifests }: { readonly manifests: readonly Descriptor[] }) => manifests[0] ?? { digest: '' };
  let found = blob<{ manifests?: readonly Descriptor[]; config?: Descriptor }>(
    first(readJSON(join(layout, 'index.json'))),
  );
  while (found.manifests !== undefined) found = blob(first({ manifests: found.manifests }));
  const image = blob<{ config: ContainerConfig; history: [] }>(found.config ?? { digest: '' });
  return { config: image.config, history: image.history };
}

const slugs = canRun ? readdirSync(new URL('cases/', conformance)) : [];

describeNeeding([conformance, lab], 'configs of the conformance cases', () => {
  test.each(slugs)('%s', async (slug) => {
    const dockerfile = readFileSync(new URL(`cases/${slug}/Dockerfile.upstream`, conformance), 'utf8');
    const { buildArgs = {} } = readJSON<ConformanceCase>(new URL(`cases/${slug}/case.json`, conformance));
    const expected = readJSON<Expected>(new URL(`expected/${slug}/buildkit.json`, conformance));
    const images = Object.fromEntries(Object.entries(IMAGES).map(([name, layout]) => [name, readImage(layout)]));
    const options = { resolver: new FakeImageResolver(images), buildArgs };
    if (REFUSED.has(slug)) {
      await expect(convertText(dockerfile, options)).rejects.toThrow('unexpected end of statement');
      return;
    }
    const conversion = await convertText(dockerfile, options);
    if (expected.status !== 'ok' || expected.config === undefined) return;
    const { config, architecture, os, author } = conversion.config;
    const { Volumes: volumes } = config;
    const lists = volumes === undefined ? {} : { Volumes: Object.keys(volumes) };
    const whole = { ...config, ...lists, architecture, os, author };
    const ours = JSON.parse(JSON.stringify(whole)) as Record<string, unknown>;
    const { ArgsEscaped: _ours, ...comparable } = ours;
    expect(comparable).toEqual(expected.config);
    expect(conversion.config.history.length - conversion.baseHistoryLength).toBe(expected.history);
  });
});
