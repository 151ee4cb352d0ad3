// Restores a cache mount from an imported cache: into a directory of its own, which then takes the mount's place. Nothing is
// fetched before a step asks for a mount that is not here.
import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';
import { digestOf } from '../../solver/digest.ts';
import type { Descriptor } from '../image/descriptor.ts';
import type { BlobOrigin } from '../image/image-source.ts';
import { makeNode, setTimesNs, setXattr, SystemCallError } from '../sys/libc.ts';
import { encodeName, toFsPath } from '../sys/path-bytes.ts';
import { keepHeapTight } from '../sys/tight-heap.ts';
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

/** The index of the mounts. Throws TSB_CACHE_INVALID, TSB_REGISTRY_…, TSB_LAYOUT_…. */
export async function fetchMountIndex(source: MountSource, signal: AbortSignal): Promise<MountIndex> {
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
  keepHeapTight();
  const writer = new FileWriter(directory, entries, packs);
  const wanted = packs.filter((pack) => writer.needs(pack));
  for await (const [pack, bytes] of fetchPacks(source, wanted, signal)) writer.write(pack, bytes);
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

async function* fetchPacks(
  source: MountSource,
  packs: readonly MountPack[],
  signal: AbortSignal,
): AsyncGenerator<readonly [MountPack, Buffer]> {
  const pending: Promise<Buffer>[] = [];
  let next = 0;
  for (const pack of packs) {
    for (; next < packs.length && pending.length < PARALLEL_FETCHES; next++) {
      const fetched = fetchWhole(source, packs[next]?.blob ?? pack.blob, { maxBytes: MAX_PACK_BYTES, signal });
      fetched.catch(() => undefined);
      pending.push(fetched);
    }
    const bytes = await pending.shift();
    if (bytes !== undefined) yield [pack, bytes];
  }
}

async function fetchWhole(
  { name, origin }: MountSource,
  blob: Descriptor,
  { maxBytes, signal }: { readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Buffer> {
  if (blob.size > maxBytes) throw invalidMounts(name, `${blob.digest} has ${blob.size} bytes`);
  const bytes = Buffer.allocUnsafeSlow(blob.size);
  let size = 0;
  for await (const chunk of origin.openBlob(blob, { signal })) {
    bytes.set(chunk.subarray(0, blob.size - size), size);
    size += chunk.length;
  }
  const found = digestOf(bytes);
  if (found !== blob.digest) throw invalidMounts(name, `${found} came instead of ${blob.digest}`);
  return bytes;
}

interface ChunkPlace {
  readonly path: string;
  readonly offset: number;
}

/** Writes chunks to all the places where files have them. */
class FileWriter {
  readonly #directory: string;
  /** By id; those that were written are gone. */
  readonly #places = new Map<string, ChunkPlace[]>();

  constructor(directory: string, entries: readonly MountEntry[], packs: readonly MountPack[]) {
    this.#directory = directory;
    const lengths = new Map(packs.flatMap((pack) => pack.chunks.map(({ id, length }) => [id, length] as const)));
    for (const { path, kind, chunks } of entries) {
      if (kind !== 'file') continue;
      this.#create(path);
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

  write({ chunks }: MountPack, packed: Buffer): void {
    const bytes = zstdDecompressSync(packed, { maxOutputLength: MAX_PACK_BYTES });
    let at = 0;
    for (const { id, length } of chunks) {
      for (const place of this.#places.get(id) ?? []) this.#writeAt(place, bytes.subarray(at, at + length));
      this.#places.delete(id);
      at += length;
    }
  }

  #create(path: string): void {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    closeSync(openSync(toFsPath(hostPath(this.#directory, path)), flags, 0o600));
  }

  #writeAt({ path, offset }: ChunkPlace, bytes: Buffer): void {
    const fd = openSync(toFsPath(hostPath(this.#directory, path)), constants.O_WRONLY | constants.O_NOFOLLOW);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, offset + at);
    } finally {
      closeSync(fd);
    }
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
  lchownSync(toFsPath(path), uid, gid);
  for (const [name, value] of xattrs) setTolerantly(path, name, value);
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
