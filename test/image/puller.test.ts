import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { describeNeeding, itNeeding } from '../needs.ts';
import type { Digest } from '../../solver/digest.ts';
import { chainIDs } from '../../src/image/chain-id.ts';
import { MEDIA_TYPES } from '../../src/image/descriptor.ts';
import type { BlobProgress } from '../../src/image/layer-transfer.ts';
import { ImagePuller } from '../../src/image/puller.ts';
import { StoreImageResolver } from '../../src/image/resolver.ts';
import { RootView } from '../../src/snapshot/root-view.ts';
import type { FileNode } from '../../src/snapshot/file-tree.ts';
import type { SnapshotName } from '../../src/snapshot/snapshotter.ts';
import type { Store } from '../../src/store/open-store.ts';
import { type FixtureImage, makeImage, pushImage, tagged, tarOf, writeLayout } from '../registry/image-fixture.ts';
import { forward, REGISTRY_PROGRAM, registryRig, rejection } from '../registry/registry-rig.ts';
import { storeRig } from '../store/store-rig.ts';

const AMD64 = { os: 'linux', architecture: 'amd64' };
const LAB = process.env.TSBUILD_LAB ?? join(homedir(), '.cache/tsbuild-lab');

describeNeeding(['root', REGISTRY_PROGRAM], 'ImagePuller', () => {
  const rig = registryRig();
  const stores = storeRig();
  const shared = rig.start();

  async function pull(
    store: Store,
    reference: string,
    options: { emitProgress?: (progress: BlobProgress) => void; signal?: AbortSignal } = {},
  ): Promise<SnapshotName | undefined> {
    const { content, images } = store;
    const resolver = new StoreImageResolver({ content, images, registry: () => rig.client(), workingDir: '/' });
    const { identifier } = await resolver.resolveImage(reference, { platform: AMD64 });
    return new ImagePuller({ ...store, isRootless: false }).pull(resolver.sourceOf(identifier, AMD64), options);
  }

  it('unpacks the layers on top of each other and remembers the image', async () => {
    const { host } = await shared;
    const image = await layered();
    await pushImage(host, 'lib/layered', '1', image);
    const proxy = await rig.proxy(host, () => false);
    const store = stores.open();
    const name = `${proxy.host}/lib/layered:1`;
    const [top, same] = await Promise.all([pull(store, name), pull(store, name)]);
    expect(same).toBe(top);
    expect(paths(store, top)).toEqual(['/dir', '/dir/new', '/keep', '/link', '/opaque', '/opaque/after', '/suid']);
    const chain = chainIDs(image.diffIDs);
    expect(store.snapshotter.findByChainID(chain.at(-1)!)).toBe(top);
    const names = store.snapshotter.chain(top!);
    expect(names).toHaveLength(3);
    expect(names.map((one) => store.snapshotter.diffIDOf(one)?.diffID)).toEqual(image.diffIDs);
    expect(store.images.find(name)).toMatchObject({
      configDigest: image.config.digest,
      manifestDigest: image.root.digest,
      layers: names.map((snapshot, n) => ({ diffID: image.diffIDs[n], snapshot })),
      platform: AMD64,
      createdAtMs: Date.parse('2024-01-02T03:04:05Z'),
      isBuilt: false,
      tags: [{ reference: name, resolvedDigest: image.root.digest }],
    });
    for (const { digest } of image.layers) expect(store.content.has(digest)).toBe(true);
    expect(store.layerBlobs.find(image.diffIDs[0]!, MEDIA_TYPES.ociLayerGzip)?.digest).toBe(image.layers[0]!.digest);

    const before = proxy.requests.length;
    expect(await pull(store, name)).toBe(top);
    expect(proxy.requests.slice(before)).toEqual(['HEAD /v2/lib/layered/manifests/1']);
  });

  it('fetches only what comes on top of the layers that are here', async () => {
    const { host } = await shared;
    const [base, own] = [await tarOf([{ name: 'base' }]), await tarOf([{ name: 'own' }])];
    const upper = makeImage({ layers: [base, own] });
    await pushImage(host, 'lib/base', '1', makeImage({ layers: [base] }));
    await pushImage(host, 'lib/upper', '1', upper);
    const store = stores.open();
    const below = await pull(store, `${host}/lib/base:1`);
    const proxy = await rig.proxy(host, () => false);
    const top = await pull(store, `${proxy.host}/lib/upper:1`);
    expect(store.snapshotter.parentOf(top!)).toBe(below);
    const fetched = proxy.requests.filter((request) => request.includes('/blobs/'));
    expect(fetched.map((request) => request.split('/').at(-1))).toEqual([upper.config.digest, upper.layers[1]!.digest]);
  });

  it('has no snapshot for an image without layers', async () => {
    const { host } = await shared;
    await pushImage(host, 'lib/empty', '1', makeImage({ layers: [] }));
    expect(await pull(stores.open(), `${host}/lib/empty:1`)).toBeUndefined();
  });

  it.each([
    ['OCI tar', MEDIA_TYPES.ociLayer, (tar: Buffer) => tar],
    ['OCI zstd', MEDIA_TYPES.ociLayerZstd, (tar: Buffer) => zstdCompressSync(tar)],
    ['Docker gzip', MEDIA_TYPES.dockerLayerGzip, undefined],
  ])('unpacks a layer of type %s', async (_name, layerType, compress) => {
    const { host } = await shared;
    const layers = [await tarOf([{ name: 'f', content: layerType }])];
    const isDocker = layerType.includes('docker');
    const image = makeImage({ layers, layerType, isDocker, ...(compress && { compress }) });
    await pushImage(host, 'lib/typed', '1', image);
    const store = stores.open();
    expect(paths(store, await pull(store, `${host}/lib/typed:1`))).toEqual(['/f']);
  });

  it.each([
    [
      'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      'TSB_IMAGE_FOREIGN_LAYER',
      'may not be distributed by registries',
    ],
    ['application/x-own', 'TSB_IMAGE_UNSUPPORTED_LAYER', 'has media type "application/x-own"'],
  ])('refuses a layer of type %s', async (layerType, code, fact) => {
    const directory = rig.directory();
    const image = makeImage({ layers: [await tarOf([{ name: 'f' }])], layerType });
    writeLayout(directory, [[image, {}]]);
    expect(await rejection(pull(stores.open(), `oci-layout://${directory}`))).toMatchObject({
      code,
      message: `oci-layout://${directory}@${image.root.digest}: layer ${image.layers[0]!.digest} ${fact}`,
    });
  });

  it('unpacks a layer while it comes', async () => {
    const { host } = await shared;
    const image = await noisy('while', 1);
    await pushImage(host, 'lib/while', '1', image);
    const extracting = Promise.withResolvers<void>();
    // The end of the blob comes only when unpacking has begun.
    const proxy = await rig.proxy(host, (request, response) => {
      if (!request.url?.endsWith(image.layers[0]!.digest)) return false;
      forward(host, request, response, (body, outgoing) => {
        body.once('data', async (chunk: Buffer) => {
          outgoing.write(chunk);
          await extracting.promise;
          body.pipe(outgoing);
        });
      });
      return true;
    });
    const emitProgress = (progress: BlobProgress): void => {
      if (progress.id.startsWith('extracting ')) extracting.resolve();
    };
    const store = stores.open();
    expect(paths(store, await pull(store, `${proxy.host}/lib/while:1`, { emitProgress }))).toEqual(['/noise0']);
  });

  it('fetches three layers at once and reports each', async () => {
    const { host } = await shared;
    const image = await noisy('parallel', 4);
    await pushImage(host, 'lib/parallel', '1', image);
    const third = Promise.withResolvers<void>();
    const started: string[] = [];
    // No layer is sent before the third is asked for.
    const proxy = await rig.proxy(host, (request, response) => {
      const layer = image.layers.find(({ digest }) => request.url?.endsWith(digest));
      if (layer === undefined) return false;
      started.push(layer.digest);
      if (started.length === 3) third.resolve();
      third.promise.then(() => forward(host, request, response));
      return true;
    });
    const done: string[] = [];
    const store = stores.open();
    const emitProgress = (progress: BlobProgress): void => {
      if (!progress.done) return;
      expect(progress.current).toBe(progress.total);
      done.push(progress.id);
    };
    const top = await pull(store, `${proxy.host}/lib/parallel:1`, { emitProgress });
    expect(paths(store, top)).toEqual(['/noise0', '/noise1', '/noise2', '/noise3']);
    expect(started.slice(0, 3).sort()).toEqual(
      image.layers
        .slice(0, 3)
        .map(({ digest }) => digest)
        .sort(),
    );
    const expected = image.layers.flatMap(({ digest }) => [digest, `extracting ${digest}`]);
    expect(done.sort()).toEqual(expected.sort());
  });

  it('goes on where the connection broke, also in the midst of unpacking', async () => {
    const { host } = await shared;
    const image = await noisy('broken', 1);
    await pushImage(host, 'lib/broken', '1', image);
    const [layer] = image.layers;
    let left = 3;
    const proxy = await rig.proxy(host, (request, response) => {
      if (!request.url?.endsWith(layer!.digest) || left-- <= 0) return false;
      forward(host, request, response, cut(1000));
      return true;
    });
    const store = stores.open();
    expect(paths(store, await pull(store, `${proxy.host}/lib/broken:1`))).toEqual(['/noise0']);
    const requests = proxy.requests.filter((request) => request.includes(layer!.digest));
    expect(requests.map((request) => request.split(' ')[2])).toEqual([
      undefined,
      ...[1000, 2000, 3000].map((offset) => `bytes=${offset}-${layer!.size - 1}`),
    ]);
  });

  it('keeps what has come when it is stopped, and leaves no snapshot', async () => {
    const { host } = await shared;
    const image = await noisy('stopped', 1);
    await pushImage(host, 'lib/stopped', '1', image);
    const [layer] = image.layers;
    const controller = new AbortController();
    const proxy = await rig.proxy(host, (request, response, count) => {
      if (!request.url?.endsWith(layer!.digest) || request.headers.range !== undefined) return false;
      expect(count).toBeGreaterThan(0);
      forward(host, request, response, (body, outgoing) => {
        body.once('data', (chunk: Buffer) => {
          outgoing.write(chunk.subarray(0, 7000));
        });
      });
      return true;
    });
    const store = stores.open();
    const emitProgress = (progress: BlobProgress): void => {
      if (progress.id.startsWith('extracting ')) setImmediate(() => controller.abort(new Error('stopped')));
    };
    const name = `${proxy.host}/lib/stopped:1`;
    const { message } = await rejection(pull(store, name, { emitProgress, signal: controller.signal }));
    expect(message).toBe('stopped');
    expect(store.snapshotter.findByChainID(image.diffIDs[0]!)).toBeUndefined();
    expect(store.images.list()).toEqual([]);
    expect(paths(store, await pull(store, `${host}/lib/stopped:1`))).toEqual(['/noise0']);
  });

  it('refuses bytes that are not those of the digest, and recovers when the right ones come', async () => {
    const { host } = await shared;
    const image = await noisy('lied', 2);
    await pushImage(host, 'lib/lied', '1', image);
    const lie = async (at: number): Promise<void> => {
      const layer = image.layers[at]!;
      const proxy = await rig.proxy(host, (request, response) => {
        if (!request.url?.endsWith(layer.digest)) return false;
        const bytes = Buffer.from(image.blobs.get(layer.digest)!);
        bytes[Math.floor(bytes.length / 2)]! ^= 1;
        response.end(bytes);
        return true;
      });
      const store = stores.open();
      const { code, message } = await rejection(pull(store, `${proxy.host}/lib/lied:1`));
      expect(code).toBe('TSB_CONTENT_DIGEST_MISMATCH');
      expect(message).toMatch(new RegExp(`^blob ${layer.digest} has digest sha256:[0-9a-f]{64}$`));
      expect(store.content.has(layer.digest)).toBe(false);
      expect(store.images.list()).toEqual([]);
      expect(paths(store, await pull(store, `${host}/lib/lied:1`))).toEqual(['/noise0', '/noise1']);
    };
    await lie(0);
    await lie(1);
  });

  it('refuses a config that lies about its layers', async () => {
    const { host } = await shared;
    const wrong = `sha256:${'c'.repeat(64)}`;
    const image = makeImage({ layers: [await tarOf([{ name: 'f', content: 'diffid' }])], diffIDs: [wrong] });
    await pushImage(host, 'lib/diffid', '1', image);
    const store = stores.open();
    const { code, message } = await rejection(pull(store, `${host}/lib/diffid:1`));
    expect(code).toBe('TSB_IMAGE_DIFF_ID_MISMATCH');
    expect(message).toMatch(
      new RegExp(
        `^${host}/lib/diffid:1@${image.root.digest}: layer ${image.layers[0]!.digest} has diffID sha256:[0-9a-f]{64} instead of ${wrong}$`,
      ),
    );
    expect(store.snapshotter.findByChainID(wrong)).toBeUndefined();
  });

  it('lets two processes pull the same image at once', async () => {
    const { host } = await shared;
    const image = await noisy('twice', 3);
    await pushImage(host, 'lib/twice', '1', image);
    const root = stores.root();
    const store = stores.open(root);
    const pulls = [1, 2].map(() => startChild(root, `${host}/lib/twice:1`));
    await Promise.all(pulls.map(({ ready }) => ready));
    for (const { go } of pulls) go();
    const [one, two] = await Promise.all(pulls.map(({ result }) => result));
    expect(two).toBe(one);
    expect(paths(store, one)).toEqual(['/noise0', '/noise1', '/noise2']);
  });

  itNeeding(['umoci'], 'gives the tree that umoci unpacks', async () => {
    const directory = rig.directory();
    const image = await layered();
    writeLayout(directory, [[image, tagged('1')]]);
    const store = stores.open();
    const top = await pull(store, `oci-layout://${directory}`);
    const bundle = join(rig.directory(), 'bundle');
    execFileSync('umoci', ['unpack', '--image', `${directory}:1`, bundle], { stdio: 'ignore' });
    expect(describeTree(view(store, top))).toEqual(describeTree(new RootView([join(bundle, 'rootfs')])));
  });

  for (const name of ['busybox', 'debian']) {
    const layout = join(LAB, 'oci', name);
    const needs = [{ name: "the lab's images", isHere: existsSync(layout) }];
    itNeeding(needs, `gives the tree of the lab's ${name}`, async () => {
      const store = stores.open();
      const tag = (JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as LayoutIndex).manifests[0]!;
      const reference = tag.annotations['org.opencontainers.image.ref.name'];
      const top = await pull(store, `oci-layout://${layout}:${reference}`);
      const [layer] = store.snapshotter.chain(top!);
      const manifest = store.images.list();
      expect(manifest).toEqual([]);
      const tarDirectory = rig.directory();
      const blob = readdirSync(join(store.root, 'blobs/sha256')).find((one) =>
        isLayer(join(store.root, 'blobs/sha256', one)),
      );
      execFileSync('tar', ['-xpf', join(store.root, 'blobs/sha256', blob!), '-C', tarDirectory, '--numeric-owner']);
      expect(describeTree(view(store, layer))).toEqual(describeTree(new RootView([tarDirectory])));
    });
  }
});

interface LayoutIndex {
  readonly manifests: readonly { readonly annotations: Readonly<Record<string, string>> }[];
}

function isLayer(path: string): boolean {
  return readFileSync(path)
    .subarray(0, 2)
    .equals(Buffer.from([0x1f, 0x8b]));
}

/** Sends so many bytes of the answer and breaks the connection. */
function cut(bytes: number): NonNullable<Parameters<typeof forward>[3]> {
  return (body, outgoing) => {
    body.once('data', (chunk: Buffer) => outgoing.write(chunk.subarray(0, bytes), () => outgoing.destroy()));
  };
}

type WithDiffIDs = FixtureImage & { readonly diffIDs: readonly Digest[] };

async function layered(): Promise<WithDiffIDs> {
  return withDiffIDs([
    await tarOf([
      { name: 'dir/', type: 'directory', mode: 0o750, uid: 3, gid: 4 },
      { name: 'dir/old', content: 'old' },
      { name: 'opaque/', type: 'directory' },
      { name: 'opaque/before', content: 'x' },
      { name: 'keep', content: 'keep', mode: 0o640, uid: 1000, gid: 1001 },
    ]),
    await tarOf([
      { name: 'dir/.wh.old' },
      { name: 'dir/new', content: 'new' },
      { name: 'opaque/.wh..wh..opq' },
      { name: 'opaque/after', content: 'y' },
    ]),
    await tarOf([
      { name: 'suid', content: 's', mode: 0o4755 },
      { name: 'link', type: 'symlink', linkname: 'dir/new' },
    ]),
  ]);
}

/** Layers of bytes that gzip cannot shrink, so that each comes in several chunks. */
async function noisy(seedText: string, count: number): Promise<WithDiffIDs> {
  const layers: Buffer[] = [];
  for (let layer = 0; layer < count; layer++) {
    const parts = Array.from({ length: 16_000 }, (_none, n) =>
      createHash('sha256').update(`${seedText} ${layer} ${n}`).digest(),
    );
    layers.push(await tarOf([{ name: `noise${layer}`, content: Buffer.concat(parts) }]));
  }
  return withDiffIDs(layers);
}

function withDiffIDs(layers: readonly Buffer[]): WithDiffIDs {
  const diffIDs = layers.map((tar) => `sha256:${createHash('sha256').update(tar).digest('hex')}` as Digest);
  return { ...makeImage({ layers }), diffIDs };
}

function view(store: Store, name: string | undefined): RootView {
  return new RootView(store.snapshotter.stack(name!));
}

function paths(store: Store, name: string | undefined): readonly string[] {
  return nodesOf(view(store, name)).map(({ path }) => path);
}

function nodesOf(tree: RootView, path = '/'): readonly FileNode[] {
  return tree.list(path).flatMap((node) => [node, ...(node.type === 'dir' ? nodesOf(tree, node.path) : [])]);
}

function describeTree(tree: RootView): readonly string[] {
  return nodesOf(tree).map((node) => {
    const content = node.type === 'file' ? createHash('sha256').update(readFileSync(node.hostPath)).digest('hex') : '';
    const xattrs = tree.xattrs(node).map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`);
    const { path, type, mode, uid, gid, size, linkTarget, nlink } = node;
    const time = type === 'dir' ? '' : Math.floor(node.mtimeMs / 1000);
    const links = type === 'file' ? nlink : '';
    return [path, type, mode.toString(8), uid, gid, size, linkTarget, links, time, content, ...xattrs].join(' ');
  });
}

function startChild(
  root: string,
  reference: string,
): { ready: Promise<void>; go: () => void; result: Promise<string> } {
  const script = new URL('pull-child.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, root, reference], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ready = Promise.withResolvers<void>();
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.startsWith('ready\n')) ready.resolve();
  });
  const result = new Promise<string>((resolve) => {
    child.once('close', () => resolve(output.slice('ready\n'.length).trim()));
  });
  return { ready: ready.promise, go: () => child.stdin.end('go'), result };
}
