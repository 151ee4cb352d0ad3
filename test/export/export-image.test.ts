import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { digestOf } from '../../solver/digest.ts';
import { writeLayer } from '../../src/diff/layer-tar.ts';
import { checkOutput, type ExportedImage, exportImage } from '../../src/export/export-image.ts';
import { parseOutput } from '../../src/export/output-spec.ts';
import { MEDIA_TYPES } from '../../src/image/descriptor.ts';
import { type AssembledImage, assembleImage } from '../../src/image/image-writer.ts';
import type { Store } from '../../src/store/open-store.ts';
import { getXattr, makeNode, setXattr } from '../../src/sys/libc.ts';
import { CONFIG, commitFile, commitLayer, CREATED_MS } from '../image/image-rig.ts';
import { hasSchemas, schemaErrors } from '../image/json-schema.ts';
import { storeRig, thrown } from '../store/store-rig.ts';

const isRoot = process.geteuid?.() === 0;
const has = (tool: string): boolean => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const NAME = 'docker.io/library/app:1';

describe('exportImage', () => {
  const rig = storeRig();
  let dir = '';
  let store: Store;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-export-'));
    store = rig.open(undefined, { now: () => CREATED_MS });
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const twoLayers = (): AssembledImage => {
    const one = commitFile(store, undefined, 'one');
    const two = commitLayer(store, one, (directory) => {
      mkdirSync(join(directory, 'dir'));
      writeFileSync(join(directory, 'dir/f'), 'x'.repeat(3_000_000));
    });
    return assembleImage(store, CONFIG, two);
  };
  const run = (
    image: AssembledImage,
    output: string,
    options: { names?: readonly string[]; report?: (id: string, isDone: boolean) => void; isRootless?: boolean } = {},
  ): Promise<ExportedImage> =>
    exportImage(store, image, options.names ?? [NAME], parseOutput(output), {
      stdout: new PassThrough(),
      isRootless: options.isRootless ?? false,
      ...(options.report === undefined ? {} : { report: options.report }),
    });

  it('writes an OCI archive: entries sorted, modes and times fixed, JSON as the specification wants it', async () => {
    const dest = join(dir, 'x.tar');
    const { written } = await run(twoLayers(), `type=oci,dest=${dest}`);
    const list = execFileSync('tar', ['--numeric-owner', '--utc', '--full-time', '-tvf', dest], { encoding: 'utf8' });
    const lines = list
      .trim()
      .split('\n')
      .map((line) => line.replace(/ +/g, ' ').split(' '));
    const names = lines.map((line) => line[5] ?? '');
    expect(names).toEqual([...names].sort());
    expect(names).toHaveLength(8);
    for (const [mode, owner, , date, time, name = ''] of lines) {
      const expected = name.endsWith('/') ? 'drwxr-xr-x' : name === 'index.json' ? '-rw-r--r--' : '-r--r--r--';
      expect([mode, owner, date, time]).toEqual([expected, '0/0', '1970-01-01', '00:00:00']);
    }
    execFileSync('tar', ['-xf', dest, '-C', dir]);
    const index: unknown = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8'));
    expect(index).toMatchObject({
      manifests: [
        {
          digest: written?.manifestDescriptor.digest,
          annotations: {
            'io.containerd.image.name': NAME,
            'org.opencontainers.image.ref.name': '1',
            'org.opencontainers.image.created': '2023-11-14T22:13:20Z',
          },
          platform: { architecture: 'amd64', os: 'linux' },
        },
      ],
    });
    expect(readFileSync(join(dir, 'oci-layout'), 'utf8')).toBe('{"imageLayoutVersion":"1.0.0"}');
    for (const name of names.filter((entry) => /[0-9a-f]{64}$/.test(entry))) {
      expect(name).toBe(`blobs/sha256/${digestOf(readFileSync(join(dir, name))).slice(7)}`);
    }
    if (!hasSchemas) return;
    const blob = (digest = ''): unknown => JSON.parse(readFileSync(join(dir, 'blobs/sha256', digest.slice(7)), 'utf8'));
    expect(schemaErrors(index, 'image-index-schema.json')).toEqual([]);
    expect(schemaErrors(JSON.parse(readFileSync(join(dir, 'oci-layout'), 'utf8')), 'image-layout-schema.json')).toEqual(
      [],
    );
    expect(schemaErrors(blob(written?.manifestDescriptor.digest), 'image-manifest-schema.json')).toEqual([]);
    expect(schemaErrors(blob(written?.configDescriptor.digest), 'config-schema.json')).toEqual([]);
  });

  it('makes equal archives of equal files in different stores', async () => {
    const archives: Buffer[] = [];
    for (const number of [1, 2]) {
      store = rig.open(undefined, { now: () => CREATED_MS });
      if (number === 2) commitFile(store, undefined, 'something before');
      const head = commitLayer(store, undefined, (directory) => {
        for (const name of number === 1 ? ['a', 'b'] : ['b', 'a']) writeFileSync(join(directory, name), name);
        for (const name of ['a', 'b']) utimesSync(join(directory, name), 1, 1);
      });
      await run(assembleImage(store, CONFIG, head), `type=oci,dest=${dir}/${number}.tar`);
      archives.push(readFileSync(`${dir}/${number}.tar`));
    }
    expect(archives[0]?.equals(archives[1] ?? Buffer.alloc(0))).toBe(true);
  });

  it('compresses a layer once, and remembers it', async () => {
    const image = twoLayers();
    expect(image.layers.flatMap(({ diffID }) => store.layerBlobs.list(diffID))).toEqual([]);
    await run(image, `type=oci,dest=${dir}/a.tar`);
    const times = (): readonly number[] =>
      image.layers.map(({ diffID }) => {
        const blob = store.layerBlobs.find(diffID, MEDIA_TYPES.ociLayerGzip);
        return blob === undefined ? 0 : statSync(store.content.pathOf(blob.digest)).ino;
      });
    const first = times();
    await run(image, `type=oci,dest=${dir}/b.tar`);
    expect(times()).toEqual(first);
    expect(readFileSync(`${dir}/b.tar`).equals(readFileSync(`${dir}/a.tar`))).toBe(true);
  });

  it('makes a remembered blob again when its bytes are gone', async () => {
    const image = twoLayers();
    const { written } = await run(image, `type=oci,dest=${dir}/a.tar`);
    const digest = written?.manifest.layers[0]?.digest ?? digestOf('');
    rmSync(store.content.pathOf(digest));
    await run(image, `type=oci,dest=${dir}/b.tar`);
    expect(store.content.has(digest)).toBe(true);
  });

  it('keeps the blob of a pulled layer, unless compression is forced', async () => {
    const image = twoLayers();
    const [base] = image.layers;
    if (base === undefined) throw new Error('unreachable');
    const tar = Buffer.concat([...writeLayer(store.snapshotter.layerDirs(base.snapshot))]);
    const original = gzipSync(tar, { level: 1 });
    const digest = store.content.put(original);
    store.layerBlobs.save(base.diffID, {
      mediaType: MEDIA_TYPES.dockerLayerGzip,
      digest,
      sizeBytes: original.length,
      isPulled: true,
    });
    const layersOf = async (more: string): Promise<unknown> =>
      (await run(image, `type=oci,dest=${dir}/x.tar${more}`)).written?.manifest.layers.map(
        ({ mediaType, digest: found }) => [mediaType, found === digest],
      );
    expect(await layersOf('')).toEqual([
      [MEDIA_TYPES.ociLayerGzip, true],
      [MEDIA_TYPES.ociLayerGzip, false],
    ]);
    expect(await layersOf(',compression=zstd')).toEqual([
      [MEDIA_TYPES.ociLayerGzip, true],
      [MEDIA_TYPES.ociLayerZstd, false],
    ]);
    expect(await layersOf(',compression=zstd,force-compression=true')).toEqual([
      [MEDIA_TYPES.ociLayerZstd, false],
      [MEDIA_TYPES.ociLayerZstd, false],
    ]);
    const uncompressed = await run(image, `type=oci,dest=${dir}/x.tar,compression=uncompressed,force-compression=true`);
    expect(uncompressed.written?.manifest.layers.map((layer) => layer.digest)).toEqual(
      image.layers.map(({ diffID }) => diffID),
    );
  });

  it('takes the layer of a stacked snapshot from where it was committed', async () => {
    const one = commitFile(store, undefined, 'one');
    const link = commitFile(store, undefined, 'one');
    const head = store.snapshotter.stackOn(one, link);
    const { written } = await run(assembleImage(store, CONFIG, head), `type=oci,dest=${dir}/x.tar`);
    expect(written?.manifest.layers).toHaveLength(2);
    expect(written?.config.history).toHaveLength(2);
  });

  it('notices that files of a snapshot were changed in the store', async () => {
    const image = twoLayers();
    const [first] = image.layers;
    writeFileSync(join(store.snapshotter.stack(first?.snapshot ?? '')[0] ?? '', 'one'), 'changed');
    await expect(run(image, `type=oci,dest=${dir}/x.tar`)).rejects.toMatchObject({
      code: 'TSB_LAYER_CHANGED',
      message: expect.stringMatching(/^the files of snapshot "1" make layer sha256:\w{64}, not sha256:\w{64}$/),
    });
    expect([existsSync(`${dir}/x.tar`), readdirSync(join(store.root, 'tmp'))]).toEqual([false, []]);
  });

  it('adds manifest.json for docker load, and annotations to the manifest', async () => {
    const output = `type=docker,dest=${dir}/x.tar,annotation.a=b`;
    const { written } = await run(twoLayers(), output, { names: [NAME, 'docker.io/me/app:2', 'reg:5000/a:3'] });
    const json: unknown = JSON.parse(
      execFileSync('tar', ['-xOf', `${dir}/x.tar`, 'manifest.json'], { encoding: 'utf8' }),
    );
    const path = (digest = ''): string => `blobs/sha256/${digest.slice(7)}`;
    expect(json).toEqual([
      {
        Config: path(written?.configDescriptor.digest),
        RepoTags: ['app:1', 'me/app:2', 'reg:5000/a:3'],
        Layers: written?.manifest.layers.map(({ digest }) => path(digest)),
      },
    ]);
    expect(written?.manifest.annotations).toEqual({ a: 'b' });
  });

  it('writes a layout directory and adds to it', async () => {
    const image = twoLayers();
    await run(image, `type=oci,dest=${dir}/l,tar=false`);
    await run(image, `type=oci,dest=${dir}/l,tar=false`);
    await run(image, `type=oci,dest=${dir}/l,tar=false`, { names: ['docker.io/library/app:2'] });
    await run(image, `type=oci,dest=${dir}/l,tar=false`, { names: [] });
    await run(image, `type=oci,dest=${dir}/l,tar=false`, { names: [] });
    const index: { manifests: { annotations: Record<string, string> }[] } = JSON.parse(
      readFileSync(`${dir}/l/index.json`, 'utf8'),
    );
    expect(index.manifests.map(({ annotations }) => annotations['org.opencontainers.image.ref.name'])).toEqual([
      '1',
      '2',
      undefined,
    ]);
    expect(readdirSync(`${dir}/l`).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
    writeFileSync(`${dir}/l/index.json`, 'no json');
    await expect(run(image, `type=oci,dest=${dir}/l,tar=false`)).rejects.toMatchObject({
      code: 'TSB_OUTPUT_DEST_INVALID',
      message: `invalid output destination "${dir}/l": "${dir}/l/index.json" is no image index`,
    });
  });

  it('exports an image without layers', async () => {
    const image = assembleImage(store, { ...CONFIG, history: [] }, undefined);
    const { written } = await run(image, `type=oci,dest=${dir}/x.tar`, { names: [] });
    expect(written?.manifest.layers).toEqual([]);
    await run(image, `type=tar,dest=${dir}/y.tar`);
    expect(execFileSync('tar', ['-tf', `${dir}/y.tar`], { encoding: 'utf8' })).toBe('');
  });

  it('reports its parts', async () => {
    const reports: string[] = [];
    const { written } = await run(twoLayers(), `type=oci,dest=${dir}/x.tar`, {
      report: (id, isDone) => isDone && reports.push(id),
    });
    expect(reports).toEqual([
      'exporting layers',
      `exporting manifest ${written?.manifestDescriptor.digest}`,
      `exporting config ${written?.configDescriptor.digest}`,
      'sending tarball',
    ]);
  });

  it('writes only blobs for type=image and nothing for type=cacheonly', async () => {
    const image = twoLayers();
    expect(await run(image, 'type=cacheonly')).toEqual({ written: undefined, warnings: [] });
    expect(image.layers.flatMap(({ diffID }) => store.layerBlobs.list(diffID))).toEqual([]);
    const { written } = await run(image, 'type=image');
    expect(store.content.has(written?.manifestDescriptor.digest ?? digestOf(''))).toBe(true);
  });

  it('is read by skopeo and umoci', async (context) => {
    if (!has('skopeo') || !has('umoci')) return context.skip('skopeo or umoci is not installed');
    const dest = join(dir, 'x.tar');
    const image = twoLayers();
    for (const compression of ['gzip', 'zstd', 'uncompressed']) {
      await run(image, `type=oci,dest=${dest},compression=${compression}`);
      const inspected = JSON.parse(execFileSync('skopeo', ['inspect', `oci-archive:${dest}`], { encoding: 'utf8' }));
      expect(inspected).toMatchObject({
        Created: '2023-11-14T22:13:20.12Z',
        Env: ['PATH=/bin'],
        Architecture: 'amd64',
      });
      expect(inspected.Layers).toHaveLength(2);
    }
    await run(image, `type=docker,dest=${dest}`);
    execFileSync('skopeo', ['inspect', `docker-archive:${dest}`]);
    await run(image, `type=oci,dest=${dir}/layout,tar=false`);
    execFileSync(
      'umoci',
      ['unpack', ...(isRoot ? [] : ['--rootless']), '--image', `${dir}/layout:1`, `${dir}/bundle`],
      {
        stdio: 'ignore',
      },
    );
    expect(readFileSync(`${dir}/bundle/rootfs/one`, 'utf8')).toBe('one');
    expect(readFileSync(`${dir}/bundle/rootfs/dir/f`)).toHaveLength(3_000_000);
  });
});

describe('checkOutput', () => {
  it('refuses destinations of the wrong kind', () => {
    const dir = mkdtempSync(join(tmpdir(), 'tsbuild-export-'));
    writeFileSync(join(dir, 'f'), '');
    const refusal = (output: string): unknown => thrown(() => checkOutput(parseOutput(output), {}));
    const common = {
      code: 'TSB_OUTPUT_DEST_INVALID',
      message: `invalid output destination "${dir}/f": "${dir}/f" is not a directory`,
    };
    expect(refusal(`${dir}/f`)).toEqual({ ...common, hint: 'give a directory, or type=tar for a file' });
    expect(refusal(`type=oci,tar=false,dest=${dir}/f`)).toEqual({
      ...common,
      hint: 'leave tar=false out for an archive',
    });
    expect(refusal(`type=oci,dest=${dir}`)).toMatchObject({ code: 'TSB_OUTPUT_DEST_INVALID' });
    for (const fine of [
      `${dir}/new`,
      dir,
      `type=tar,dest=${dir}/f`,
      'type=cacheonly',
      'type=image',
      `type=docker,dest=${dir}/f`,
    ]) {
      checkOutput(parseOutput(fine), {});
    }
    rmSync(dir, { recursive: true });
  });
});

describeNeeding(['root'], 'the root filesystem', () => {
  const rig = storeRig();
  let dir = '';
  let store: Store;
  let image: AssembledImage;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-root-'));
    store = rig.open();
    const base = commitLayer(store, undefined, (root) => {
      mkdirSync(join(root, 'etc'));
      writeFileSync(join(root, 'etc/gone'), 'gone');
      writeFileSync(join(root, 'etc/old'), 'old');
    });
    const head = commitLayer(store, base, fillRoot);
    image = assembleImage(store, CONFIG, head);
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const run = (output: string, isRootless = false, stdout = new PassThrough()): Promise<ExportedImage> =>
    exportImage(store, image, [], parseOutput(output), { stdout, isRootless });

  it('is written into a directory with modes, owners, links, times and attributes', async () => {
    expect(await run(`${dir}/out`)).toEqual({ written: undefined, warnings: [] });
    expectRoot(`${dir}/out`, true);
    expect(readdirSync(dir)).toEqual(['out']);
  });

  it('belongs to the user in a rootless build', async () => {
    await run(`${dir}/out`, true);
    expectRoot(`${dir}/out`, false);
  });

  it('is added to a directory that is there, without following its links', async () => {
    mkdirSync(`${dir}/out/etc/old`, { recursive: true });
    mkdirSync(`${dir}/victim`);
    symlinkSync(`${dir}/victim`, `${dir}/out/bin`);
    writeFileSync(`${dir}/victim/tool`, 'untouched');
    writeFileSync(`${dir}/out/mine`, 'mine');
    await run(`${dir}/out`);
    await run(`${dir}/out`);
    expectRoot(`${dir}/out`, true);
    expect(readFileSync(`${dir}/out/mine`, 'utf8')).toBe('mine');
    expect(readFileSync(`${dir}/victim/tool`, 'utf8')).toBe('untouched');
  });

  it('is written as a tar that makes the same tree', async () => {
    await run(`type=tar,dest=${dir}/x.tar`);
    mkdirSync(`${dir}/out`);
    execFileSync('tar', ['--xattrs', '--xattrs-include=*', '--same-owner', '-xpf', `${dir}/x.tar`, '-C', `${dir}/out`]);
    expectRoot(`${dir}/out`, true);
    const stdout = new PassThrough();
    const read = buffer(stdout);
    await run('-', false, stdout);
    stdout.end();
    expect((await read).equals(readFileSync(`${dir}/x.tar`))).toBe(true);
  });
});

const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');

function fillRoot(root: string): void {
  mkdirSync(join(root, 'etc'));
  makeNode(join(root, 'etc/gone'), 'char', 0, { major: 0, minor: 0 });
  mkdirSync(join(root, 'bin'));
  writeFileSync(join(root, 'bin/tool'), '#!');
  chownSync(join(root, 'bin/tool'), 1000, 300_000);
  setXattr(join(root, 'bin/tool'), 'security.capability', CAPABILITY);
  setXattr(join(root, 'bin/tool'), 'user.note', Buffer.from([0, 255]));
  chmodSync(join(root, 'bin/tool'), 0o4751);
  linkSync(join(root, 'bin/tool'), join(root, 'bin/same'));
  symlinkSync('tool', join(root, 'bin/link'));
  makeNode(join(root, 'pipe'), 'fifo', 0o640, { major: 0, minor: 0 });
  makeNode(join(root, 'device'), 'block', 0o660, { major: 7, minor: 300 });
  writeFileSync(Buffer.from(`${root}/caf\xe9`, 'latin1'), 'x');
  for (const path of ['bin/tool', 'bin']) utimesSync(join(root, path), 1_000_000_000, 1_000_000_000);
  chmodSync(join(root, 'bin'), 0o555);
}

function expectRoot(out: string, hasOwners: boolean): void {
  expect(existsSync(`${out}/etc/gone`)).toBe(false);
  expect(readFileSync(`${out}/etc/old`, 'utf8')).toBe('old');
  const tool = lstatSync(`${out}/bin/tool`);
  expect([tool.mode & 0o7777, tool.uid, tool.gid]).toEqual([0o4751, ...(hasOwners ? [1000, 300_000] : [0, 0])]);
  expect([tool.ino, tool.nlink, tool.mtimeMs]).toEqual([lstatSync(`${out}/bin/same`).ino, 2, 1_000_000_000_000]);
  expect(getXattr(`${out}/bin/tool`, 'security.capability')).toEqual(CAPABILITY);
  expect(getXattr(`${out}/bin/tool`, 'user.note')).toEqual(Buffer.from([0, 255]));
  const bin = lstatSync(`${out}/bin`);
  expect([bin.isDirectory(), bin.mode & 0o7777, bin.mtimeMs]).toEqual([true, 0o555, 1_000_000_000_000]);
  expect(lstatSync(`${out}/bin/link`).isSymbolicLink()).toBe(true);
  expect([lstatSync(`${out}/pipe`).isFIFO(), lstatSync(`${out}/pipe`).mode & 0o7777]).toEqual([true, 0o640]);
  expect(lstatSync(`${out}/device`).isBlockDevice()).toBe(true);
  expect(existsSync(Buffer.from(`${out}/caf\xe9`, 'latin1'))).toBe(true);
}
