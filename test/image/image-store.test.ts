import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import type { LocalImage } from '../../src/image/image-store.ts';
import { storeRig } from '../store/store-rig.ts';

const AMD64 = { os: 'linux', architecture: 'amd64' };
const ARM64 = { os: 'linux', architecture: 'arm64', variant: 'v8' };
const image = (name: string, more: Partial<LocalImage> = {}): LocalImage => ({
  configDigest: digestOf(name),
  layers: [{ diffID: digestOf(`layer of ${name}`), snapshot: '1' }],
  platform: AMD64,
  createdAtMs: 5,
  isBuilt: true,
  ...more,
});

describe('ImageStore', () => {
  const rig = storeRig();

  it('keeps an image under all its names', () => {
    const { images } = rig.open();
    images.save(image('a'), [{ reference: 'docker.io/library/b:1' }, { reference: 'docker.io/library/a:1' }]);
    const listed = {
      ...image('a'),
      tags: [
        { reference: 'docker.io/library/a:1', isBuilt: true },
        { reference: 'docker.io/library/b:1', isBuilt: true },
      ],
    };
    expect(images.find('docker.io/library/a:1')).toEqual(listed);
    expect(images.get(digestOf('a'))).toEqual(listed);
    expect(images.list()).toEqual([listed]);
    expect(images.find('docker.io/library/c:1')).toBeUndefined();
    expect(images.get(digestOf('c'))).toBeUndefined();
  });

  it('moves a name to the later image and keeps the former without', () => {
    const { images } = rig.open();
    images.save(image('a'), [{ reference: 'x:1' }]);
    images.save(image('b', { createdAtMs: 6 }), [{ reference: 'x:1' }]);
    expect(images.find('x:1')?.configDigest).toBe(digestOf('b'));
    expect(images.list().map(({ configDigest, tags }) => [configDigest, tags.length])).toEqual([
      [digestOf('b'), 1],
      [digestOf('a'), 0],
    ]);
  });

  it('keeps the first time of an image, adds the manifest, and takes the latest snapshots', () => {
    const { images } = rig.open();
    images.save(image('a'));
    images.save(
      image('a', {
        createdAtMs: 9,
        isBuilt: false,
        manifestDigest: digestOf('m'),
        layers: [{ diffID: digestOf('layer of a'), snapshot: '7' }],
      }),
    );
    images.save(image('a', { layers: [{ diffID: digestOf('layer of a'), snapshot: '8' }] }));
    expect(images.get(digestOf('a'))).toEqual({
      ...image('a', { manifestDigest: digestOf('m') }),
      layers: [{ diffID: digestOf('layer of a'), snapshot: '8' }],
      tags: [],
    });
  });

  it('keeps the platforms of one pulled name apart while they come from one index', () => {
    const { images } = rig.open();
    const tag = { reference: 'debian', resolvedDigest: digestOf('index') };
    images.save(image('amd', { isBuilt: false }), [tag]);
    images.save(image('arm', { isBuilt: false, platform: ARM64 }), [tag]);
    expect(images.find('debian', AMD64)?.configDigest).toBe(digestOf('amd'));
    expect(images.find('debian', { variant: 'v8', architecture: 'arm64', os: 'linux' })?.configDigest).toBe(
      digestOf('arm'),
    );
    expect(images.find('debian', { os: 'linux', architecture: 's390x' })).toBeUndefined();
    images.save(image('amd2', { isBuilt: false }), [{ ...tag, resolvedDigest: digestOf('newer index') }]);
    expect(images.find('debian', ARM64)).toBeUndefined();
    expect(images.find('debian')?.tags).toEqual([
      { reference: 'debian', isBuilt: false, resolvedDigest: digestOf('newer index') },
    ]);
    images.save(image('own', { platform: ARM64 }), [{ reference: 'debian' }]);
    expect(images.find('debian', AMD64)).toBeUndefined();
  });

  it('removes names and images', () => {
    const { images } = rig.open();
    images.save(image('a'), [{ reference: 'x:1' }, { reference: 'x:2' }]);
    expect([images.untag('x:1'), images.untag('x:1')]).toEqual([true, false]);
    expect(images.get(digestOf('a'))?.tags).toEqual([{ reference: 'x:2', isBuilt: true }]);
    expect([images.remove(digestOf('a')), images.remove(digestOf('a'))]).toEqual([true, false]);
    expect(images.find('x:2')).toBeUndefined();
  });
});
