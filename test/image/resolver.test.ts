import { expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { formatPlatform } from '../../frontend/platform.ts';
import type { Platform } from '../../solver/op.ts';
import { chainIDs } from '../../src/image/chain-id.ts';
import { createImageSources } from '../../src/ops/image-sources.ts';
import { imageSourceDigest, layersSourceDigest } from '../../solver/source-key.ts';
import { StoreImageResolver, type StoreImageResolverOptions } from '../../src/image/resolver.ts';
import type { Store } from '../../src/store/open-store.ts';
import {
  type FixtureImage,
  makeImage,
  makeIndex,
  pushImage,
  tagged,
  tarOf,
  writeLayout,
} from '../registry/image-fixture.ts';
import { freePort, REGISTRY_PROGRAM, registryRig, rejection } from '../registry/registry-rig.ts';
import { storeRig } from '../store/store-rig.ts';

const AMD64: Platform = { os: 'linux', architecture: 'amd64' };
const ARM64: Platform = { os: 'linux', architecture: 'arm64' };

describeNeeding([REGISTRY_PROGRAM], 'StoreImageResolver', () => {
  const rig = registryRig();
  const stores = storeRig();
  const shared = rig.start();

  function resolver(store: Store, options: Partial<StoreImageResolverOptions> = {}): StoreImageResolver {
    const { content, images } = store;
    return new StoreImageResolver({ content, images, registry: () => rig.client(), workingDir: '/', ...options });
  }

  it('resolves a tag to its manifest and config, asking once for each name', async () => {
    const { host } = await shared;
    const image = await fixture('single', { config: { Env: ['A=1'] } });
    await pushImage(host, 'lib/single', 'latest', image);
    const proxy = await rig.proxy(host, () => false);
    const store = stores.open();
    const one = resolver(store);
    const name = `${proxy.host}/lib/single`;
    const [resolved, again, full] = await Promise.all([
      one.resolveImage(name, { platform: AMD64 }),
      one.resolveImage(name, { platform: AMD64 }),
      one.resolveImage(`${name}:latest`, { platform: AMD64 }),
    ]);
    expect(resolved).toMatchObject({
      reference: `${name}:latest@${image.root.digest}`,
      identifier: `docker-image://${name}:latest@${image.root.digest}`,
      attrs: {},
      digest: image.root.digest,
      platform: AMD64,
    });
    expect(resolved.config.config).toEqual({ Env: ['A=1'] });
    expect(again).toBe(resolved);
    expect(full).toEqual(resolved);
    expect(proxy.requests.filter((request) => request.startsWith('HEAD'))).toHaveLength(1);

    const source = one.sourceOf(resolved.identifier, AMD64);
    expect(source.manifestDigest).toBe(image.root.digest);
    expect(source.layers.map(({ blob }) => blob)).toEqual(image.layers);
    const [chainID] = chainIDs(resolved.config.rootfs.diff_ids);
    expect(source.layers.at(-1)?.chainID).toBe(chainID);

    const before = proxy.requests.length;
    await resolver(store).resolveImage(name, { platform: AMD64 });
    expect(proxy.requests.slice(before)).toEqual(['HEAD /v2/lib/single/manifests/latest']);
  });

  it('chooses the best manifest of an index, nested and Docker ones too', async () => {
    const { host } = await shared;
    const amd64 = await fixture('amd64', {});
    const arm64 = await fixture('arm64', { architecture: 'arm64', variant: 'v8' });
    const armv6 = await fixture('armv6', { architecture: 'arm', variant: 'v6' });
    const attestation = { platform: { os: 'unknown', architecture: 'unknown' } };
    const index = makeIndex([
      [await fixture('attestation', {}), attestation],
      [armv6, { platform: { os: 'linux', architecture: 'arm', variant: 'v6' } }],
      [makeIndex([[arm64, {}]]), {}],
      [amd64, { platform: AMD64 }],
    ]);
    await pushImage(host, 'lib/multi', '1', index);
    const list = makeIndex([[await fixture('docker', {}, true), { platform: AMD64 }]], true);
    await pushImage(host, 'lib/docker', '1', list);
    const one = resolver(stores.open());
    const chosen = async (platform: Platform): Promise<string> => {
      const { identifier, digest } = await one.resolveImage(`${host}/lib/multi:1`, { platform });
      expect(digest).toBe(index.root.digest);
      return one.sourceOf(identifier, platform).manifestDigest ?? '';
    };
    expect(await chosen(AMD64)).toBe(amd64.root.digest);
    expect(await chosen(ARM64)).toBe(arm64.root.digest);
    expect(await chosen({ os: 'linux', architecture: 'arm', variant: 'v7' })).toBe(armv6.root.digest);
    expect((await one.resolveImage(`${host}/lib/docker:1`, { platform: AMD64 })).digest).toBe(list.root.digest);

    const name = `${host}/lib/multi:1`;
    expect(await rejection(one.resolveImage(name, { platform: { os: 'linux', architecture: 's390x' } }))).toEqual({
      code: 'TSB_IMAGE_NO_PLATFORM',
      message: `${name}: failed to resolve source metadata for ${name}: no match for platform in manifest: not found`,
      hint: 'the image is there for linux/arm/v6, linux/arm64, linux/amd64: choose one of them with --platform',
    });
  });

  it('is known to the cache by what its name leads to, as in BuildKit, and by its layers', async () => {
    const { host } = await shared;
    const amd64 = await fixture('amd64', {});
    const index = makeIndex([[amd64, { platform: AMD64 }]]);
    await pushImage(host, 'lib/known', '1', index);
    const one = resolver(stores.open());
    const { identifier, config } = await one.resolveImage(`${host}/lib/known:1`, { platform: AMD64 });
    const refuse = () => Promise.reject(new Error('nothing is pulled here'));
    const images = createImageSources({ resolver: one, puller: { pull: refuse }, now: Date.now });
    expect(images.cacheDigests({ kind: 'source', identifier, attrs: {}, platform: AMD64 })).toEqual([
      imageSourceDigest(index.root.digest, AMD64),
      layersSourceDigest(config.rootfs.diff_ids),
    ]);
  });

  it('takes the only manifest of a name for any platform', async () => {
    const { host } = await shared;
    await pushImage(host, 'lib/only', '1', await fixture('only', {}));
    const resolved = await resolver(stores.open()).resolveImage(`${host}/lib/only:1`, { platform: ARM64 });
    expect(formatPlatform(resolved.platform)).toBe('linux/amd64');
  });

  it('says what the registry does not know, as BuildKit does', async () => {
    const { host } = await shared;
    const one = resolver(stores.open());
    const zero = `@sha256:${'0'.repeat(64)}`;
    for (const [written, full] of [
      ['lib/none', 'lib/none:latest'],
      ['lib/none:tag', 'lib/none:tag'],
      [`lib/none${zero}`, `lib/none${zero}`],
    ]) {
      expect(await rejection(one.resolveImage(`${host}/${written}`, { platform: AMD64 }))).toMatchObject({
        code: 'TSB_REGISTRY_NOT_FOUND',
        message: `${host}/${written}: failed to resolve source metadata for ${host}/${full}: ${host}/${full}: not found`,
      });
    }
    const closed = `127.0.0.1:${await freePort()}`;
    expect((await rejection(one.resolveImage(`${closed}/x`, { platform: AMD64 }))).message).toBe(
      `${closed}/x: failed to resolve source metadata for ${closed}/x:latest: failed to do request: Head "http://${closed}/v2/x/manifests/latest": dial tcp ${closed}: connect: connection refused`,
    );
    expect((await rejection(one.resolveImage('Foo:Bar:Baz', { platform: AMD64 }))).message).toBe(
      'invalid reference format: repository name (library/Foo) must be lowercase',
    );
  });

  it('chooses from an index that is here, named by its digest', async () => {
    const { host } = await shared;
    const amd64 = await fixture('known-amd64', {});
    const arm64 = await fixture('known-arm64', { architecture: 'arm64' });
    const index = makeIndex([
      [amd64, { platform: AMD64 }],
      [arm64, { platform: ARM64 }],
    ]);
    await pushImage(host, 'lib/known', '1', index);
    const store = stores.open();
    const name = `${host}/lib/known@${index.root.digest}`;
    for (const platform of [AMD64, AMD64, ARM64]) {
      const one = resolver(store);
      const { identifier, digest } = await one.resolveImage(name, { platform });
      expect(digest).toBe(index.root.digest);
      const chosen = platform === AMD64 ? amd64 : arm64;
      expect(one.sourceOf(identifier, platform).manifestDigest).toBe(chosen.root.digest);
    }
  });

  it('asks nobody for a digest that is here', async () => {
    const { host } = await shared;
    const image = await fixture('digest', {});
    await pushImage(host, 'lib/digest', '1', image);
    const store = stores.open();
    const name = `${host}/lib/digest:1@${image.root.digest}`;
    const resolved = await resolver(store).resolveImage(name, { platform: AMD64 });
    expect(resolved.identifier).toBe(`docker-image://${name}`);
    const offline = resolver(store, { registry: unasked });
    expect(await offline.resolveImage(name, { platform: AMD64 })).toEqual(resolved);
  });

  it('takes an image that was built here without asking', async () => {
    const { host } = await shared;
    const store = stores.open();
    const digest = saveBuilt(store, `${host}/lib/mine:latest`, 'built');
    const resolved = await resolver(store, { registry: unasked }).resolveImage(`${host}/lib/mine`, {
      platform: AMD64,
    });
    expect(resolved.digest).toBe(digest);
    expect(resolved.config.config).toEqual({ Cmd: ['built'] });
  });

  it('asks for a name that was pulled, also when the very image was built here under another', async () => {
    const { host } = await shared;
    const [first, moved] = [await fixture('first', {}), await fixture('moved', { config: { Env: ['M=1'] } })];
    const name = `${host}/lib/moving:latest`;
    await pushImage(host, 'lib/moving', 'latest', first);
    const store = stores.open();
    const pulled = resolver(store);
    const { identifier } = await pulled.resolveImage(name, { platform: AMD64 });
    const { configDigest, digest } = pulled.sourceOf(identifier, AMD64);
    const image = { configDigest, manifestDigest: digest, layers: [], platform: AMD64, createdAtMs: 1 };
    store.images.save({ ...image, isBuilt: false }, [{ reference: name, resolvedDigest: digest }]);
    store.images.save({ ...image, isBuilt: true }, [{ reference: `${host}/lib/own:latest` }]);
    await pushImage(host, 'lib/moving', 'latest', moved);
    expect((await resolver(store).resolveImage(name, { platform: AMD64 })).digest).toBe(moved.root.digest);
  });

  it('asks for an image built here when told to pull, and takes it when the registry does not know it', async () => {
    const { host } = await shared;
    const store = stores.open();
    const name = `${host}/lib/pulled:latest`;
    const built = saveBuilt(store, name, 'built');
    const unknown = await resolver(store, { pull: true }).resolveImage(name, { platform: AMD64 });
    expect(unknown.digest).toBe(built);
    const pushed = await fixture('pushed', {});
    await pushImage(host, 'lib/pulled', 'latest', pushed);
    const known = await resolver(store, { pull: true }).resolveImage(name, { platform: AMD64 });
    expect(known.digest).toBe(pushed.root.digest);
  });

  it('takes the copy pulled earlier, with a warning, when the registry gives no answer', async () => {
    const own = await rig.start();
    const image = await fixture('earlier', {});
    await pushImage(own.host, 'lib/earlier', '1', image);
    const store = stores.open();
    const name = `${own.host}/lib/earlier:1`;
    const online = resolver(store);
    const { identifier } = await online.resolveImage(name, { platform: AMD64 });
    const { configDigest, manifestDigest, digest } = online.sourceOf(identifier, AMD64);
    store.images.save(
      { configDigest, manifestDigest: manifestDigest!, layers: [], platform: AMD64, createdAtMs: 1, isBuilt: false },
      [{ reference: name, resolvedDigest: digest }],
    );
    await own.stop();
    const warnings: string[] = [];
    const offline = resolver(store, { warn: (message) => warnings.push(message) });
    expect((await offline.resolveImage(name, { platform: AMD64 })).identifier).toBe(identifier);
    expect(warnings).toEqual([
      `using the copy of ${name} pulled earlier (${digest}), its registry gave no answer: failed to do request: Head "http://${own.host}/v2/lib/earlier/manifests/1": dial tcp ${own.host}: connect: connection refused`,
    ]);
    expect((await rejection(resolver(store, { pull: true }).resolveImage(name, { platform: AMD64 }))).hint).toBe(
      `check that the registry ${own.host} is up and reachable from here, and the spelling of its name; or leave out --pull to use the copy that is here`,
    );
  });

  it('refuses a manifest whose layers are not those of its config', async () => {
    const { host } = await shared;
    const layers = [await tarOf([{ name: 'f' }])];
    await pushImage(host, 'lib/odd', '1', makeImage({ layers, diffIDs: [] }));
    const name = `${host}/lib/odd:1`;
    expect((await rejection(resolver(stores.open()).resolveImage(name, { platform: AMD64 }))).message).toBe(
      `${name}: failed to resolve source metadata for ${name}: ${name}: bad manifest: it has 1 layers but its config names 0`,
    );
  });

  it('resolves an OCI layout, relative to the working directory', async () => {
    const parent = rig.directory();
    const image = await fixture('layout', {});
    writeLayout(`${parent}/dir`, [[image, tagged('latest')]]);
    const one = resolver(stores.open(), { workingDir: parent, registry: unasked });
    const resolved = await one.resolveImage('oci-layout://dir', { platform: AMD64 });
    expect(resolved.identifier).toBe(`oci-layout://${parent}/dir@${image.root.digest}`);
    expect(one.sourceOf(resolved.identifier, AMD64).layers.map(({ blob }) => blob)).toEqual(image.layers);
  });

  it('chooses among the platforms that the index of a layout lists itself', async () => {
    const directory = rig.directory();
    const arm64 = await fixture('a', { architecture: 'arm64' });
    writeLayout(directory, [
      [await fixture('b', {}), { ...tagged('1'), platform: AMD64 }],
      [arm64, { ...tagged('1'), platform: ARM64 }],
    ]);
    const one = resolver(stores.open(), { registry: unasked });
    const resolved = await one.resolveImage(`oci-layout://${directory}:1`, { platform: ARM64 });
    expect(resolved.digest).toBe(arm64.root.digest);
  });
});

function saveBuilt(store: Store, reference: string, command: string): string {
  const config = { architecture: 'amd64', os: 'linux', config: { Cmd: [command] }, rootfs: { diff_ids: [] } };
  const configDigest = store.content.put(Buffer.from(JSON.stringify(config)));
  store.images.save({ configDigest, layers: [], platform: AMD64, createdAtMs: 1, isBuilt: true }, [{ reference }]);
  return configDigest;
}

function unasked(): never {
  throw new Error('the registry is not to be asked');
}

async function fixture(content: string, config: Record<string, unknown>, isDocker = false): Promise<FixtureImage> {
  const layers = [await tarOf([{ name: 'f', content }])];
  return makeImage({ layers, isDocker, config });
}
