import { describe, expect, it } from 'vitest';
import { chainIDs } from '../../src/image/chain-id.ts';
import { parseImageConfig, platformOf } from '../../src/image/config-reader.ts';
import { MEDIA_TYPES } from '../../src/image/descriptor.ts';
import { parseManifest } from '../../src/image/manifest.ts';
import { parseDigest } from '../../solver/digest.ts';
import { thrown } from '../store/store-rig.ts';

const A = parseDigest(`sha256:${'a'.repeat(64)}`);
const B = parseDigest(`sha256:${'b'.repeat(64)}`);

describe('parseManifest', () => {
  const blob = { mediaType: MEDIA_TYPES.ociLayer, digest: A, size: 3 };

  it('reads manifests and indexes of both kinds', () => {
    const manifest = { schemaVersion: 2, config: blob, layers: [{ ...blob, annotations: { k: 'v', n: 1 } }] };
    expect(parse(manifest, MEDIA_TYPES.dockerManifest)).toEqual({
      kind: 'manifest',
      manifest: {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.dockerManifest,
        config: blob,
        layers: [{ ...blob, annotations: { k: 'v' } }],
      },
    });
    const platform = { os: 'linux', architecture: 'arm', variant: 'v7' };
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.dockerManifestList, manifests: [{ ...blob, platform }] };
    expect(parse(index, '')).toEqual({
      kind: 'index',
      index: { schemaVersion: 2, mediaType: MEDIA_TYPES.dockerManifestList, manifests: [{ ...blob, platform }] },
    });
  });

  it.each([
    ['{', 'bad manifest: it is no JSON object'],
    ['{}', 'bad manifest: it has neither layers nor manifests'],
    ['{"layers":[],"manifests":[],"config":{}}', 'bad manifest: it is a manifest and an index at once'],
    [
      '{"layers":[],"config":{"mediaType":"t","digest":"sha256:../x","size":1}}',
      'bad manifest: bad digest "sha256:../x"',
    ],
    [`{"layers":[],"config":{"mediaType":"t","digest":"${A}","size":-1}}`, `bad manifest: bad size -1 of ${A}`],
    ['{"layers":[],"config":{}}', 'bad manifest: a descriptor has no media type'],
    ['{"schemaVersion":1,"fsLayers":[]}', 'unsupported manifest: Docker manifest schema 1'],
    ['{"mediaType":"application/x"}', 'unsupported manifest: media type "application/x"'],
  ])('refuses %s', (text, message) => {
    expect(thrown(() => parseManifest(Buffer.from(text), '', 'r.example/x:1')).message).toBe(
      `r.example/x:1: ${message}`,
    );
  });

  it('refuses an index where a manifest was announced', () => {
    expect(thrown(() => parse({ manifests: [] }, MEDIA_TYPES.ociManifest)).code).toBe('TSB_IMAGE_MANIFEST_INVALID');
  });

  function parse(value: unknown, mediaType: string): unknown {
    return parseManifest(Buffer.from(JSON.stringify(value)), mediaType, 'x');
  }
});

describe('parseImageConfig', () => {
  it('keeps what is known and filled', () => {
    const config = parseImageConfig(
      Buffer.from(
        JSON.stringify({
          architecture: 'arm',
          variant: 'v7',
          os: 'linux',
          created: '2024-01-02T03:04:05Z',
          container_config: { Cmd: ['x'] },
          config: {
            User: '',
            Env: ['A=1'],
            Entrypoint: null,
            Cmd: ['sh'],
            Volumes: { '/v': {} },
            ExposedPorts: null,
            Labels: { l: 'm' },
            ArgsEscaped: true,
            Image: 'sha256:x',
            Healthcheck: { Test: ['CMD', 't'], Interval: 5e9, Retries: 0 },
            OnBuild: [],
          },
          rootfs: { type: 'layers', diff_ids: [A] },
          history: [{ created: '2024-01-02T03:04:05Z', created_by: 'c', empty_layer: true, extra: 1 }],
        }),
      ),
      'x',
    );
    expect(config).toEqual({
      architecture: 'arm',
      variant: 'v7',
      os: 'linux',
      created: '2024-01-02T03:04:05Z',
      config: {
        Env: ['A=1'],
        Cmd: ['sh'],
        Volumes: { '/v': {} },
        Labels: { l: 'm' },
        ArgsEscaped: true,
        Healthcheck: { Test: ['CMD', 't'], Interval: 5e9 },
      },
      rootfs: { type: 'layers', diff_ids: [A] },
      history: [{ created: '2024-01-02T03:04:05Z', created_by: 'c', empty_layer: true }],
    });
    expect(platformOf(config)).toEqual({ os: 'linux', architecture: 'arm', variant: 'v7' });
  });

  it('refuses what is no config', () => {
    expect(thrown(() => parseImageConfig(Buffer.from('[]'), 'x'))).toEqual({
      code: 'TSB_IMAGE_CONFIG_INVALID',
      message: 'x: bad image config: it is no JSON object',
      hint: 'the image is damaged, or no container image: use another one',
    });
    const bad = Buffer.from('{"rootfs":{"diff_ids":["md5:1"]}}');
    expect(thrown(() => parseImageConfig(bad, 'x')).message).toBe('x: bad image config: bad diffID "md5:1"');
  });

  it('refuses values that are deep or long with a short message', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const messageOf = (diffID: string): string =>
      thrown(() => parseImageConfig(Buffer.from(`{"rootfs":{"diff_ids":[${diffID}]}}`), 'x')).message;
    expect(messageOf(deep)).toBe('x: bad image config: bad diffID […]');
    expect(messageOf(`{"a":${deep}}`)).toBe('x: bad image config: bad diffID {…}');
    expect(messageOf(`"${'a'.repeat(1000)}"`)).toBe(`x: bad image config: bad diffID "${'a'.repeat(200)}"`);
    expect(messageOf('null')).toBe('x: bad image config: bad diffID null');
  });
});

describe('chainIDs', () => {
  it('begins with the diffID and digests each pair', () => {
    expect(chainIDs([])).toEqual([]);
    // printf 'sha256:aaa… sha256:bbb…' | sha256sum
    expect(chainIDs([A, B])).toEqual([A, 'sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c']);
  });
});
