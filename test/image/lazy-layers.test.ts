import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestHex, digestOf } from '../../solver/digest.ts';
import { encodeTarHeader, TAR_END_LENGTH, tarPadding } from '../../src/diff/tar-writer.ts';
import { chainIDs } from '../../src/image/chain-id.ts';
import { LazyLayers, type NewLazyLayer } from '../../src/image/lazy-layers.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';

describe('lazy layers', () => {
  let directory: string;
  let layout: string;
  let store: Store;
  let lazy: LazyLayers;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tsbuild-lazy-'));
    layout = join(directory, 'layout');
    mkdirSync(join(layout, 'blobs', 'sha256'), { recursive: true });
    store = openStore(join(directory, 'store'));
    lazy = openLazy(store);
  });
  afterEach(() => {
    store.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function openLazy({ content, snapshotter, layerBlobs }: Store): LazyLayers {
    const registry = () => Promise.reject(new Error('no registry here'));
    return new LazyLayers({ content, snapshotter, layerBlobs, registry, isRootless: process.getuid?.() !== 0 });
  }

  /** A layer with one file, its blob in the layout, on top of those before it. */
  function layers(...names: readonly string[]): readonly NewLazyLayer[] {
    const made = names.map((name) => {
      const text = Buffer.from(`text of ${name}`);
      const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mtimeSeconds: 1 };
      const header = encodeTarHeader({ name, type: 'file', mode: 0o644, size: text.length, ...owner });
      const tar = Buffer.concat([header, text, Buffer.alloc(tarPadding(text.length)), Buffer.alloc(TAR_END_LENGTH)]);
      const blob = gzipSync(tar);
      writeFileSync(join(layout, 'blobs', 'sha256', digestHex(digestOf(blob))), blob);
      return { diffID: digestOf(tar), blob };
    });
    const chain = chainIDs(made.map(({ diffID }) => diffID));
    return made.map(({ diffID, blob }, index) => ({
      diffID,
      chainID: chain[index] ?? diffID,
      createdAtMs: 1_700_000_000_000 + index,
      place: { kind: 'layout', directory: layout },
      blob: {
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        digest: digestOf(blob),
        size: blob.length,
      },
    }));
  }

  function create(of: readonly NewLazyLayer[]): string {
    let top: string | undefined;
    for (const layer of of) top = lazy.create(top, layer);
    return top ?? '';
  }

  const blobCount = (): number => readdirSync(join(store.root, 'blobs', 'sha256')).length;
  const filesOf = (name: string): readonly string[] =>
    store.snapshotter.stack(name).flatMap((path) => readdirSync(path));

  it('are snapshots that are known before a byte of them is here', () => {
    const [one, two] = layers('one', 'two') as [NewLazyLayer, NewLazyLayer];
    const top = create([one, two]);
    expect(store.snapshotter.exists(top)).toBe(true);
    expect(store.snapshotter.findByChainID(two.chainID)).toBe(top);
    expect(store.snapshotter.chain(top).map((name) => store.snapshotter.diffIDOf(name)?.diffID)).toEqual([
      one.diffID,
      two.diffID,
    ]);
    expect(store.snapshotter.createdAtMs(top)).toBe(two.createdAtMs);
    expect(create([one, two])).toBe(top);
    expect([blobCount(), filesOf(top)]).toEqual([0, []]);
  });

  it('are filled once, however many ask at a time', async () => {
    const top = create(layers('one', 'two'));
    await Promise.all([lazy.unpackChain(top), lazy.unpackChain(top), openLazy(store).unpackChain(top)]);
    expect(filesOf(top).toSorted()).toEqual(['one', 'two']);
    expect(lazy.find(top)).toBeUndefined();
    const [upper = ''] = store.snapshotter.stack(top);
    expect(readFileSync(join(upper, 'two'), 'utf8')).toBe('text of two');
    rmSync(layout, { recursive: true });
    await lazy.unpackChain(top);
  });

  it('give their blob without their files', async () => {
    const top = create(layers('one', 'two'));
    await lazy.fetchBlob(top);
    expect([blobCount(), filesOf(top)]).toEqual([1, []]);
    expect(lazy.find(top)).toBeDefined();
  });

  it('are filled below a stack that shares their directory', async () => {
    const [linked] = layers('linked') as [NewLazyLayer];
    const merged = store.snapshotter.stackOn(create(layers('base')), create([linked]));
    expect(filesOf(merged)).toEqual([]);
    await lazy.unpackChain(merged);
    expect(filesOf(merged).toSorted()).toEqual(['base', 'linked']);
  });

  it('come from where an image has them that is asked for', async () => {
    const [one, two] = layers('one', 'two') as [NewLazyLayer, NewLazyLayer];
    const name = create([{ ...one, blob: two.blob }]);
    lazy.relocate(name, { ...one, diffID: two.diffID });
    expect(lazy.find(name)?.blob).toEqual(two.blob);
    lazy.relocate(name, one);
    await lazy.unpackChain(name);
    expect(filesOf(name)).toEqual(['one']);
    expect(store.layerBlobs.find(one.diffID, one.blob.mediaType)?.digest).toBe(one.blob.digest);
    lazy.relocate(name, one);
    expect(lazy.find(name)).toBeUndefined();
  });

  it('are known to be gone with the directory they are in', () => {
    const top = create(layers('one', 'two'));
    expect(lazy.canUnpack(top)).toBe(true);
    rmSync(layout, { recursive: true });
    expect(lazy.canUnpack(top)).toBe(false);
  });

  it('stay empty when their bytes are gone or are others', async () => {
    const [one, two] = layers('one', 'two') as [NewLazyLayer, NewLazyLayer];
    const wrong = create([{ ...one, blob: two.blob }]);
    await expect(lazy.unpackChain(wrong)).rejects.toThrow(
      `OCI layout "${layout}": layer ${two.blob.digest} has diffID ${two.diffID} instead of ${one.diffID}`,
    );
    const gone = create([{ ...two, chainID: digestOf('other') }]);
    rmSync(join(store.root, 'blobs', 'sha256', digestHex(two.blob.digest)));
    rmSync(layout, { recursive: true });
    await expect(lazy.unpackChain(gone)).rejects.toThrow(`OCI layout "${layout}" lacks blob ${two.blob.digest}`);
    expect([filesOf(wrong), filesOf(gone)]).toEqual([[], []]);
    expect(lazy.find(gone)).toBeDefined();
  });
});
