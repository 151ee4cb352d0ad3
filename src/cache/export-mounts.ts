// Exports cache mounts: what the place does not have of their chunks goes into new packs, then an index names all of them.
import { closeSync, openSync, readSync } from 'node:fs';
import { constants, zstdCompressSync } from 'node:zlib';
import { digestOf } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Descriptor } from '../image/descriptor.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import { inTurns } from '../sys/turns.ts';
import {
  encodeMountIndex,
  MOUNT_INDEX_TYPE,
  MOUNT_PACK_TYPE,
  type MountChunk,
  type MountFiles,
  type MountIndex,
  type MountPack,
} from './mount-index.ts';
import { PACK_BYTES, planPacks } from './plan-packs.ts';
import { chunkID, type FoundChunk, readMount } from './read-mount.ts';

/** A cache mount to export. */
export interface ExportedMount {
  readonly id: string;
  /** Where its files are, which nobody else uses; undefined when there are none: then what was exported earlier stays. */
  readonly directory: string | undefined;
}

interface ExportMountsOptions {
  /** What the place has of an earlier export. */
  readonly earlier: MountIndex | undefined;
  /** Puts a blob there. */
  readonly put: (blob: Descriptor, bytes: Buffer) => Promise<void>;
  readonly signal: AbortSignal;
}

const PACK_LEVEL = 3;
/** What no compression makes shorter gets a little longer: all of it comes in one piece. */
const OUTPUT_BYTES = PACK_BYTES + 32 * 1024;
const PARALLEL_PUTS = 2;

/** The blobs that the cache's manifest has to name: the index, then its packs. Throws what `put` throws. */
export async function exportMounts(
  mounts: readonly ExportedMount[],
  { earlier = { packs: [], mounts: [] }, put, signal }: ExportMountsOptions,
): Promise<readonly Descriptor[]> {
  const chunks = new Map<string, FoundChunk>();
  const files: MountFiles[] = [];
  const pinned = new Set<string>();
  for (const { id, directory } of mounts.toSorted((a, b) => (a.id < b.id ? -1 : Number(a.id > b.id)))) {
    const before = earlier.mounts.find((one) => one.id === id);
    if (directory !== undefined) files.push({ id, entries: await inTurns(readMount(directory, chunks), signal) });
    else if (before !== undefined) files.push(before);
    if (directory === undefined)
      for (const entry of before?.entries ?? []) for (const one of entry.chunks) pinned.add(one);
  }
  if (files.length === 0) return [];
  const wanted = new Map([...chunks].map(([id, { length }]) => [id, length]));
  const { kept, written } = planPacks({ earlier: earlier.packs, wanted, pinned });
  const writer = new PackWriter(put);
  for (const id of written) {
    signal.throwIfAborted();
    const chunk = chunks.get(id);
    if (chunk !== undefined) await writer.add(chunk);
  }
  const packs = [...kept, ...(await writer.finish())];
  const bytes = encodeMountIndex({ packs, mounts: files });
  const index = { mediaType: MOUNT_INDEX_TYPE, digest: digestOf(bytes), size: bytes.length };
  await put(index, bytes);
  return [index, ...packs.map(({ blob }) => blob)];
}

/** Fills one pack after the other; a few of them are on their way while the next is filled. */
class PackWriter {
  readonly #put: ExportMountsOptions['put'];
  readonly #buffer = Buffer.allocUnsafeSlow(PACK_BYTES);
  readonly #packs: MountPack[] = [];
  #pending: Promise<void>[] = [];
  #chunks: MountChunk[] = [];
  #used = 0;

  constructor(put: ExportMountsOptions['put']) {
    this.#put = put;
  }

  async add(chunk: FoundChunk): Promise<void> {
    if (this.#used + chunk.length > PACK_BYTES) await this.#flush();
    const bytes = this.#buffer.subarray(this.#used, this.#used + chunk.length);
    readChunk(chunk, bytes);
    this.#chunks.push({ id: chunk.id, length: chunk.length });
    this.#used += chunk.length;
  }

  async finish(): Promise<readonly MountPack[]> {
    if (this.#chunks.length > 0) await this.#flush();
    await this.#settle(0);
    return this.#packs;
  }

  async #flush(): Promise<void> {
    const params = { [constants.ZSTD_c_compressionLevel]: PACK_LEVEL };
    const bytes = zstdCompressSync(this.#buffer.subarray(0, this.#used), { params, chunkSize: OUTPUT_BYTES });
    const blob = { mediaType: MOUNT_PACK_TYPE, digest: digestOf(bytes), size: bytes.length };
    this.#packs.push({ blob, chunks: this.#chunks });
    this.#chunks = [];
    this.#used = 0;
    await this.#settle(PARALLEL_PUTS - 1);
    const put = this.#put(blob, bytes);
    // Its failure is seen when it is waited for.
    put.catch(() => undefined);
    this.#pending.push(put);
  }

  async #settle(most: number): Promise<void> {
    while (this.#pending.length > most) await this.#pending.shift();
  }
}

function readChunk({ id, hostPath, offset }: FoundChunk, bytes: Buffer): void {
  const fd = openSync(toFsPath(hostPath), 'r');
  try {
    let at = 0;
    for (let count = -1; count !== 0 && at < bytes.length; at += count) {
      count = readSync(fd, bytes, at, bytes.length - at, offset + at);
    }
  } finally {
    closeSync(fd);
  }
  if (chunkID(bytes) === id) return;
  throw new TsbuildError('TSB_CACHE_MOUNT_CHANGED', `"${hostPath}" changed while its cache mount was exported`, {
    hint: 'something else writes into the store: export again when it has ended',
  });
}
