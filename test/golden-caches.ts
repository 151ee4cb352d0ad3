// What the corpus of BuildKit's caches says beyond its digests. All files of a layer have one time, the second in which the
// layer was made. So a tar archive with all its times set to that second has the diffID that BuildKit exported; and the base
// image of set3, which the corpus does not hold, can be put together again.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { ImageConfig } from '../frontend/image-config.ts';
import { type Digest, digestHex, digestOf, parseDigest } from '../solver/digest.ts';
import { type Descriptor, MEDIA_TYPES } from '../src/image/descriptor.ts';
import { encodeImageConfig } from '../src/image/image-config-json.ts';
import { encodeLayoutIndex, encodeManifest } from '../src/image/manifest-json.ts';
import { convertText } from './frontend/convert-dockerfile.ts';
import { SHARED } from './needs.ts';

export const GOLDEN = join(SHARED, 'corpora', 'cache-vectors');

/** A layer as BuildKit exported it. */
export interface GoldenLayer {
  readonly descriptor: Descriptor;
  readonly diffID: Digest;
  readonly createdAt: string;
}

/** The layers of the set's manifest, in its order. */
export function goldenLayers(set: string): readonly GoldenLayer[] {
  const { layers } = JSON.parse(readFileSync(join(GOLDEN, set, 'cache-manifest.json'), 'utf8'));
  return (layers as readonly Descriptor[]).map((descriptor) => ({
    descriptor,
    diffID: parseDigest(descriptor.annotations?.['containerd.io/uncompressed'] ?? ''),
    createdAt: descriptor.annotations?.['buildkit/createdat'] ?? '',
  }));
}

/** The layer of the list that the tar archive is but for its times; undefined when it is none. */
export function findGolden(layers: readonly GoldenLayer[], tar: Buffer): GoldenLayer | undefined {
  const seconds = new Set(layers.map(({ createdAt }) => Math.floor(Date.parse(createdAt) / 1000)));
  for (const second of seconds) {
    const diffID = digestOf(withTimes(tar, second));
    const found = layers.find((layer) => layer.diffID === diffID);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The archive with one time for all of its entries. */
function withTimes(tar: Buffer, seconds: number): Buffer {
  const copy = Buffer.from(tar);
  for (let at = 0; at < copy.length && copy[at] !== 0; at += 512 + paddedSize(copy, at)) {
    copy.write(`${seconds.toString(8).padStart(11, '0')}\0`, at + 136, 'latin1');
    copy.fill(' ', at + 148, at + 156);
    const sum = copy.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  }
  return copy;
}

function paddedSize(tar: Buffer, header: number): number {
  const size = Number.parseInt(tar.toString('latin1', header + 124, header + 135), 8);
  return Math.ceil(size / 512) * 512;
}

/** Set3's `basex`, which is the image of set2's last stage. */
interface GoldenBase {
  readonly layers: readonly GoldenLayer[];
  readonly config: Buffer;
}

/** Its config is set2's own; its layers, their diffIDs and their times are those below the step of set3. */
export async function goldenBase(): Promise<GoldenBase> {
  const { layers: stack } = JSON.parse(readFileSync(join(GOLDEN, 'set3', 'cacheconfig.json'), 'utf8'));
  const blobs: string[] = [];
  const run = stack.findIndex((_: unknown, at: number) => !stack.some(({ parent = 0 }) => parent === at));
  for (let at = stack[run].parent ?? 0; at !== -1; at = stack[at].parent ?? 0) blobs.unshift(stack[at].blob);
  const all = goldenLayers('set3');
  const layers = blobs.flatMap((blob) => all.filter(({ descriptor }) => descriptor.digest === blob));
  const { config } = await convertText(readFileSync(join(GOLDEN, 'set2', 'Dockerfile'), 'utf8'));
  // The times have nanoseconds, which the times of our own layers have not.
  const history = config.history.map((entry, index) => ({ ...entry, created: layers[index]?.createdAt ?? '' }));
  const rootfs = { type: 'layers' as const, diff_ids: layers.map(({ diffID }) => diffID) };
  const whole: ImageConfig = { ...config, history, rootfs, created: layers.at(-1)?.createdAt ?? '' };
  return { layers, config: encodeImageConfig(whole) };
}

/** The bytes of the base's manifest, with these blobs for its layers. */
export function baseManifest({ config }: GoldenBase, blobs: readonly Descriptor[]): Buffer {
  return encodeManifest({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
    layers: blobs.map(({ digest, size }) => ({ mediaType: MEDIA_TYPES.ociLayerGzip, digest, size })),
  });
}

/**
 * Writes the base as an OCI layout, and gives its manifest's digest. Its archives are BuildKit's to the byte, taken from later
 * caches of the corpus with the times of the first. How BuildKit compressed them cannot be repeated here.
 */
export async function writeGoldenBase(directory: string): Promise<Digest> {
  const base = await goldenBase();
  mkdirSync(join(directory, 'blobs', 'sha256'), { recursive: true });
  const put = (bytes: Buffer): { readonly digest: Digest; readonly size: number } => {
    const digest = digestOf(bytes);
    writeFileSync(join(directory, 'blobs', 'sha256', digestHex(digest)), bytes);
    return { digest, size: bytes.length };
  };
  const archives = laterArchives();
  const blobs = base.layers.map((layer) => {
    const tar = archives.find((archive) => findGolden([layer], archive) !== undefined);
    if (tar === undefined) throw new Error(`no archive of the corpus is ${layer.diffID}`);
    const timed = withTimes(tar, Math.floor(Date.parse(layer.createdAt) / 1000));
    return { mediaType: MEDIA_TYPES.ociLayerGzip, ...put(gzipSync(timed, { level: 1 })) };
  });
  put(base.config);
  const manifest = { mediaType: MEDIA_TYPES.ociManifest, ...put(baseManifest(base, blobs)) };
  const index = { schemaVersion: 2 as const, mediaType: MEDIA_TYPES.ociIndex, manifests: [manifest] };
  writeFileSync(join(directory, 'index.json'), encodeLayoutIndex(index));
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return manifest.digest;
}

/** The layers of the caches that the corpus holds whole, which were made of the same files at another time. */
function laterArchives(): readonly Buffer[] {
  return ['set1', 'set2'].flatMap((set) => {
    const blobs = join(GOLDEN, set, 'cache', 'blobs', 'sha256');
    return readdirSync(blobs)
      .map((name) => readFileSync(join(blobs, name)))
      .filter((bytes) => bytes[0] === 0x1f && bytes[1] === 0x8b)
      .map((bytes) => gunzipSync(bytes));
  });
}
