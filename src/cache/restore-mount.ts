// Restores a cache mount from an imported cache: into a directory of its own, which then takes the mount's place. Nothing is
// fetched before a step asks for a mount that is not here.
import { chmodSync, closeSync, constants, linkSync, mkdirSync, openSync, symlinkSync } from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';
import { digestOf } from '../../solver/digest.ts';
import type { Descriptor } from '../image/descriptor.ts';
import type { BlobOrigin } from '../image/image-source.ts';
import { makeNode, setTimesNs, setXattr, SystemCallError } from '../sys/libc.ts';
import { encodeName, toFsPath } from '../sys/path-bytes.ts';
import { isOwnerRecord, setOwner } from '../sys/recorded-owner.ts';
import { keepHeapTight } from '../sys/tight-heap.ts';
import { writeAllAt } from '../sys/write-all.ts';
import {
  invalidMounts,
  MAX_INDEX_BYTES,
  MAX_PACK_BYTES,
  type MountEntry,
  type MountFiles,
  type MountIndex,
  type MountPack,
  parseMountIndex,
} from './mount-index.ts';

/** The mounts of an imported cache. */
export interface MountSource {
  /** Of the cache, for messages. */
  readonly name: string;
  readonly origin: BlobOrigin;
  readonly index: Descriptor;
}

const PARALLEL_FETCHES = 2;
/** Less is not allowed by zlib. */
const MIN_OUTPUT_BYTES = 64;

/** The index of the mounts. Throws TSB_CACHE_INVALID, TSB_REGISTRY_…, TSB_LAYOUT_…. */
export async function fetchMountIndex(source: MountSource, signal: AbortSignal): Promise<MountIndex> {
  keepHeapTight();
  return parseMountIndex(await fetchWhole(source, source.index, { maxBytes: MAX_INDEX_BYTES, signal }), source.name);
}

/** Makes the files in `directory`, which is there and empty. The caller removes it after a failure. Throws as above, and Node's own errors. */
export async function restoreMount(
  source: MountSource,
  { packs }: MountIndex,
  { entries }: MountFiles,
  { directory, signal }: { readonly directory: string; readonly signal: AbortSignal },
): Promise<void> {
  checkLinks(entries, source.name);
  // Links come last: until then every part of a path is a directory that was made here.
  for (const { path, kind } of entries) if (kind === 'dir' && path !== '') mkdirSync(hostPath(directory, path), 0o700);
  using writer = new FileWriter(directory, entries, packs);
  const wanted = packs.filter((pack) => writer.needs(pack));
  for await (const [pack, bytes] of fetchPacks(source, wanted, signal)) {
    if (!writer.write(pack, bytes)) throw invalidMounts(source.name, `bad chunks of pack ${pack.blob.digest}`);
  }
  writer.finish();
  for (const entry of entries) if (entry.kind !== 'dir') finishFile(directory, entry);
  for (const entry of entries.toReversed())
    if (entry.kind === 'dir') setAttributes(hostPath(directory, entry.path), entry);
}

/** A link leads to what was made here, never through a symlink to something else. */
function checkLinks(entries: readonly MountEntry[], name: string): void {
  const links = entries.filter(({ kind }) => kind === 'link');
  if (links.length === 0) return;
  const others = new Set(entries.flatMap(({ kind, path }) => (kind === 'dir' || kind === 'link' ? [] : [path])));
  const bad = links.find(({ target }) => !others.has(target));
  if (bad !== undefined) throw invalidMounts(name, `bad content of ${JSON.stringify(bad.path)}`);
}

function hostPath(directory: string, path: string): string {
  return path === '' ? directory : `${directory}/${path}`;
}

/** The bytes of a pack are good until the next one is asked for. */
async function* fetchPacks(
  source: MountSource,
  packs: readonly MountPack[],
  signal: AbortSignal,
): AsyncGenerator<readonly [MountPack, Buffer]> {
  const pending: Promise<Buffer>[] = [];
  const buffers: Buffer[] = [];
  let next = 0;
  for (const pack of packs) {
    for (; next < packs.length && pending.length < PARALLEL_FETCHES; next++) {
      const { blob } = packs[next] ?? pack;
      const buffer = buffers.pop() ?? Buffer.alloc(0);
      const fetched = fetchWhole(source, blob, { maxBytes: MAX_PACK_BYTES, signal, buffer });
      fetched.catch(() => undefined);
      pending.push(fetched);
    }
    const bytes = await pending.shift();
    if (bytes === undefined) continue;
    yield [pack, bytes];
    buffers.push(Buffer.from(bytes.buffer));
  }
}

interface FetchOptions {
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  /** To be filled when it is long enough. */
  readonly buffer?: Buffer;
}

async function fetchWhole(
  { name, origin }: MountSource,
  blob: Descriptor,
  { maxBytes, signal, buffer }: FetchOptions,
): Promise<Buffer> {
  if (blob.size > maxBytes) throw invalidMounts(name, `${blob.digest} has ${blob.size} bytes`);
  const isLongEnough = buffer !== undefined && buffer.length >= blob.size;
  const bytes = isLongEnough ? buffer.subarray(0, blob.size) : Buffer.allocUnsafeSlow(blob.size);
  let size = 0;
  for await (const chunk of origin.openBlob(blob, { signal })) {
    bytes.set(chunk.subarray(0, blob.size - size), size);
    size += chunk.length;
  }
  const found = digestOf(bytes.subarray(0, size));
  if (found !== blob.digest) throw invalidMounts(name, `${found} came instead of ${blob.digest}`);
  return bytes;
}

interface ChunkPlace {
  readonly path: string;
  readonly offset: number;
}

/** Writes chunks to all the places where files have them. Files come about with their first chunk. */
class FileWriter implements Disposable {
  readonly #directory: string;
  /** By id; those that were written are gone. */
  readonly #places = new Map<string, ChunkPlace[]>();
  /** Files of which nothing is written yet. */
  readonly #absent = new Set<string>();
  /** Most chunks go where the one before them went. */
  #open: { readonly path: string; readonly fd: number } | undefined;

  constructor(directory: string, entries: readonly MountEntry[], packs: readonly MountPack[]) {
    this.#directory = directory;
    const lengths = new Map<string, number>();
    for (const { chunks } of packs) for (const { id, length } of chunks) lengths.set(id, length);
    for (const { path, kind, chunks } of entries) {
      if (kind !== 'file') continue;
      this.#absent.add(path);
      let offset = 0;
      for (const id of chunks) {
        const places = this.#places.get(id);
        if (places === undefined) this.#places.set(id, [{ path, offset }]);
        else places.push({ path, offset });
        offset += lengths.get(id) ?? 0;
      }
    }
  }

  needs({ chunks }: MountPack): boolean {
    return chunks.some(({ id }) => this.#places.has(id));
  }

  /** False when the pack is not as long as its chunks are. */
  write({ chunks }: MountPack, packed: Buffer): boolean {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    // One byte more than there are, and all of them come in one piece.
    const chunkSize = Math.max(length + 1, MIN_OUTPUT_BYTES);
    const bytes = zstdDecompressSync(packed, { maxOutputLength: MAX_PACK_BYTES, chunkSize });
    if (bytes.length !== length) return false;
    let at = 0;
    for (const { id, length } of chunks) {
      for (const place of this.#places.get(id) ?? []) this.#writeAt(place, bytes.subarray(at, at + length));
      this.#places.delete(id);
      at += length;
    }
    // Frees the bytes at once: left to the collector, a dozen packs would wait for it. Few bytes share a buffer of Node's own.
    if (length > Buffer.poolSize && bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0);
    return true;
  }

  /** Makes the files that have no bytes. */
  finish(): void {
    for (const path of this.#absent) this.#openFile(path);
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }

  #openFile(path: string): number {
    if (this.#open?.path === path) return this.#open.fd;
    this[Symbol.dispose]();
    const isNew = this.#absent.delete(path);
    const flags = constants.O_WRONLY | constants.O_NOFOLLOW | (isNew ? constants.O_CREAT | constants.O_EXCL : 0);
    const fd = openSync(toFsPath(hostPath(this.#directory, path)), flags, 0o600);
    this.#open = { path, fd };
    return fd;
  }

  #writeAt({ path, offset }: ChunkPlace, bytes: Buffer): void {
    writeAllAt(this.#openFile(path), bytes, offset);
  }
}

function finishFile(directory: string, entry: MountEntry): void {
  const path = hostPath(directory, entry.path);
  if (entry.kind === 'link') {
    linkSync(toFsPath(hostPath(directory, entry.target)), toFsPath(path));
    return;
  }
  if (entry.kind === 'symlink') symlinkSync(encodeName(entry.target), toFsPath(path));
  if (entry.kind === 'fifo') makeNode(path, 'fifo', 0o600, { major: 0, minor: 0 });
  setAttributes(path, entry);
}

/** In the order in which none undoes another. */
function setAttributes(path: string, { kind, mode, uid, gid, mtimeNs, xattrs }: MountEntry): void {
  const isPlain = kind === 'file' || kind === 'dir';
  setOwner(path, { uid, gid }, isPlain);
  for (const [name, value] of xattrs) if (!isOwnerRecord(name, isPlain)) setTolerantly(path, name, value);
  if (kind !== 'symlink') chmodSync(toFsPath(path), mode);
  setTimesNs(path, mtimeNs, mtimeNs);
}

function setTolerantly(path: string, name: string, value: Buffer): void {
  try {
    setXattr(path, name, value);
  } catch (error) {
    const isTolerable = error instanceof SystemCallError && ['EOPNOTSUPP', 'ENOTSUP', 'EPERM'].includes(error.code);
    if (!isTolerable) throw error;
  }
}
