import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import { renderImages } from '../../src/cli/images-command.ts';

const image = {
  configDigest: digestOf('config'),
  layers: [],
  platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  createdAtMs: 1000,
  isBuilt: true,
  tags: [
    { reference: 'docker.io/library/app:1', isBuilt: true },
    { reference: 'localhost:5000/x/y:2', isBuilt: true },
  ],
};

describe('the list of images', () => {
  it('has a row for each name', () => {
    expect(renderImages([image], {}, 1000 + 2 * 3_600_000)).toBe(
      [
        'NAME                 TAG   IMAGE ID       PLATFORM         CREATED       ORIGIN',
        'app                  1     b79606fb3afe   linux/arm64/v8   2 hours ago   built',
        'localhost:5000/x/y   2     b79606fb3afe   linux/arm64/v8   2 hours ago   built',
        '',
      ].join('\n'),
    );
  });

  it('shows an image that lost its name', () => {
    expect(renderImages([{ ...image, tags: [] }], {}, 1000)).toMatch(
      /^<none> +<none> +b79606fb3afe .* just now +built$/m,
    );
  });

  it('prints ids only, or JSON lines, on request', () => {
    expect(renderImages([image], { quiet: true }, 0)).toBe(`${digestOf('config')}\n`);
    expect(JSON.parse(renderImages([image], { json: true }, 0).split('\n')[0] ?? '')).toMatchObject({
      name: 'app',
      tag: '1',
    });
  });

  it('prints the heading alone when there is none', () => {
    expect(renderImages([], {}, 0)).toBe('NAME   TAG   IMAGE ID   PLATFORM   CREATED   ORIGIN\n');
  });
});
