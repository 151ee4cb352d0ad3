import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { itNeeding, lackOf, titled } from '../needs.ts';
import type { ImageConfig } from '../../frontend/image-config.ts';
import { digestOf } from '../../solver/digest.ts';
import { type Manifest, MEDIA_TYPES } from '../../src/image/descriptor.ts';
import { encodeImageConfig } from '../../src/image/image-config-json.ts';
import { encodeIndex, encodeLayoutIndex, encodeManifest } from '../../src/image/manifest-json.ts';
import { hasSchemas, SCHEMAS, schemaErrors } from './json-schema.ts';

const GOLDEN = new URL('../../../shared/corpora/golden/', import.meta.url);
const D = digestOf('x');

describe('encodeImageConfig', () => {
  it.skipIf(!existsSync(GOLDEN)).each(['meta.config.txt', 'misc.config.txt'])(
    titled('writes the configs of %s as BuildKit does', lackOf([GOLDEN])),
    (file) => {
      const lines = readFileSync(new URL(file, GOLDEN), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('{'));
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) {
        const text = line.replace('"history":…', '"history":[]');
        // The corpus was written by BuildKit in this form.
        expect(encodeImageConfig(JSON.parse(text) as ImageConfig).toString()).toBe(text);
      }
    },
  );

  it('leaves out what is empty and keeps the order of history fields', () => {
    const config: ImageConfig = {
      os: 'linux',
      architecture: 'arm64',
      variant: 'v8',
      config: { Env: [], Cmd: [], Labels: {}, User: '', ArgsEscaped: false },
      rootfs: { type: 'layers', diff_ids: [D] },
      history: [
        {
          comment: 'c',
          empty_layer: true,
          created_by: 'RUN a && b <c>',
          created: '2024-01-01T00:00:00Z',
          author: 'me',
        },
        { empty_layer: false },
      ],
    };
    expect(encodeImageConfig(config).toString()).toBe(
      '{"architecture":"arm64","config":{},"history":[{"created":"2024-01-01T00:00:00Z","created_by":"RUN a \\u0026\\u0026 b \\u003cc\\u003e",' +
        `"author":"me","comment":"c","empty_layer":true},{}],"os":"linux","rootfs":{"type":"layers","diff_ids":["${D}"]},"variant":"v8"}`,
    );
  });

  itNeeding([SCHEMAS], 'conforms to the schema', () => {
    const config: ImageConfig = {
      architecture: 'amd64',
      os: 'linux',
      created: '2024-01-01T00:00:00.5Z',
      config: { ExposedPorts: { '80/tcp': {} }, Volumes: { '/v': {} }, Labels: { 1: 'a', b: 'c' }, Entrypoint: ['a'] },
      rootfs: { type: 'layers', diff_ids: [D] },
      history: [{ created: '2024-01-01T00:00:00.5Z', empty_layer: true }],
    };
    expect(schemaErrors(JSON.parse(encodeImageConfig(config).toString()), 'config-schema.json')).toEqual([]);
    expect(schemaErrors({ os: 1 }, 'config-schema.json')).not.toEqual([]);
  });
});

describe('encodeManifest', () => {
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: D, size: 1 },
    layers: [{ size: 2, digest: D, mediaType: MEDIA_TYPES.ociLayerGzip }],
    annotations: { b: '<x>', a: 'quoted "{,}" \\', 10: 'z', 9: 'y' },
  };

  it('indents by two spaces, sorts annotations by bytes and ends without a newline', () => {
    expect(encodeManifest(manifest).toString()).toBe(`{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": "${D}",
    "size": 1
  },
  "layers": [
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": "${D}",
      "size": 2
    }
  ],
  "annotations": {
    "10": "z",
    "9": "y",
    "a": "quoted \\"{,}\\" \\\\",
    "b": "\\u003cx\\u003e"
  }
}`);
    expect(encodeManifest({ ...manifest, layers: [] }).toString()).toContain('"layers": []');
  });

  itNeeding([SCHEMAS], 'conforms to the schema', () => {
    expect(schemaErrors(JSON.parse(encodeManifest(manifest).toString()), 'image-manifest-schema.json')).toEqual([]);
  });

  it('writes an index as a blob and as a layout has it', () => {
    const platform = { variant: 'v8', os: 'linux', architecture: 'arm64' };
    const index = {
      schemaVersion: 2 as const,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [{ platform, annotations: { k: 'v' }, mediaType: MEDIA_TYPES.ociManifest, digest: D, size: 3 }],
    };
    const text = encodeLayoutIndex(index).toString();
    expect(text).toBe(
      `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}","manifests":[{"mediaType":"${MEDIA_TYPES.ociManifest}",` +
        `"digest":"${D}","size":3,"annotations":{"k":"v"},"platform":{"architecture":"arm64","os":"linux","variant":"v8"}}]}`,
    );
    expect(encodeIndex(index).toString()).toBe(JSON.stringify(JSON.parse(text), null, 2));
    if (hasSchemas) expect(schemaErrors(JSON.parse(text), 'image-index-schema.json')).toEqual([]);
  });
});
