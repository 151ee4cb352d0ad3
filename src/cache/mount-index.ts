// Cache mounts as they travel with a cache: an index of their files, and packs of the chunks that the files are made of.
// The index is JSON compressed with zstd; a pack is the concatenation of its chunks compressed with zstd.
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { type Digest, isDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { Descriptor } from '../image/descriptor.ts';
import { asRecord, parseJSON, shownJSON } from '../image/untrusted-json.ts';
import { codeOf } from '../sys/error-code.ts';
import { outlineJSON } from './outline-json.ts';

const MIB = 1024 * 1024;

/** Media type of the index; builders that do not know it pass it over. */
export const MOUNT_INDEX_TYPE = 'application/vnd.tsbuild.cachemounts.v1.json+zstd';

/** Media type of a pack. */
export const MOUNT_PACK_TYPE = 'application/vnd.tsbuild.cachemounts.pack.v1+zstd';
/** Of text, and so compressed: some 110,000 files, or 12 GB in 280,000 chunks. Read, it takes 100 MiB of memory. */
export const MAX_INDEX_BYTES = 16 * MIB;

/** Of a pack, compressed or not: memory that reading one takes is bounded by it. */
export const MAX_PACK_BYTES = 8 * MIB;
const INDEX_LEVEL = 9;

/** Some bytes of a file. */
export interface MountChunk {
  /** SHA-256 in hex. */
  readonly id: string;
  readonly length: number;
}

/** A blob with chunks, and where in it each is: one follows the other. */
export interface MountPack {
  readonly blob: Descriptor;
  /** In their order in the pack. */
  readonly chunks: readonly MountChunk[];
}

/** `link` is a further name of a file, whose first name is `target`. */
export type MountEntryKind = 'dir' | 'file' | 'symlink' | 'link' | 'fifo';

/** A file of a mount. */
export interface MountEntry {
  /** Relative, with slashes; empty for the mount itself. Parents come before what is in them. */
  readonly path: string;
  readonly kind: MountEntryKind;
  /** 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly xattrs: readonly (readonly [name: string, value: Buffer])[];
  /** Ids of a file's chunks. */
  readonly chunks: readonly string[];
  /** Of a symlink or link; else empty. */
  readonly target: string;
}

/** All of one cache mount, as it was when the cache was exported. */
export interface MountFiles {
  /** As in `--mount=type=cache,id=…`. */
  readonly id: string;
  readonly entries: readonly MountEntry[];
}

/** Every chunk that an entry names is in one of the packs. */
export interface MountIndex {
  readonly packs: readonly MountPack[];
  readonly mounts: readonly MountFiles[];
}

const LETTERS: Readonly<Record<MountEntryKind, string>> = {
  dir: 'd',
  file: 'f',
  symlink: 's',
  link: 'h',
  fifo: 'p',
};
const KINDS: ReadonlyMap<unknown, MountEntryKind> = new Map(
  (Object.keys(LETTERS) as MountEntryKind[]).map((kind) => [LETTERS[kind], kind]),
);

/** Equal bytes for equal indexes. Throws TSB_CACHE_MOUNTS_TOO_LARGE. */
export function encodeMountIndex({ packs, mounts }: MountIndex): Buffer {
  const numbers = new Map<string, number>();
  for (const [number, { id }] of packs.flatMap(({ chunks }) => chunks).entries()) {
    if (!numbers.has(id)) numbers.set(id, number);
  }
  const numberOf = (id: string): number => {
    const number = numbers.get(id);
    if (number === undefined) throw new Error(`internal error: chunk ${id} is in no pack`);
    return number;
  };
  const text = Buffer.concat([
    Buffer.from('{"version":1,"packs":['),
    ...listed(packs, packFields),
    Buffer.from('],"mounts":['),
    ...mounts.flatMap(({ id, entries }, at) => [
      Buffer.from(`${at === 0 ? '' : ','}{"id":${JSON.stringify(id)},"entries":[`),
      ...listed(entries, (entry) => entryFields(entry, numberOf)),
      Buffer.from(']}'),
    ]),
    Buffer.from(']}'),
  ]);
  if (text.length > MAX_INDEX_BYTES) throw tooLarge(text.length, mounts);
  return zstdCompressSync(text, { params: { [constants.ZSTD_c_compressionLevel]: INDEX_LEVEL } });
}

const LISTED_AT_ONCE = 1000;

/** The list as JSON without its brackets, never all of it as one value. */
function listed<Item>(items: readonly Item[], fieldsOf: (item: Item) => unknown): readonly Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < items.length; at += LISTED_AT_ONCE) {
    const texts = items.slice(at, at + LISTED_AT_ONCE).map((item) => JSON.stringify(fieldsOf(item)));
    parts.push(Buffer.from(`${at === 0 ? '' : ','}${texts.join(',')}`));
  }
  return parts;
}

function tooLarge(bytes: number, mounts: readonly MountFiles[]): TsbuildError {
  const [largest] = mounts.toSorted((a, b) => b.entries.length - a.entries.length);
  const id = (largest?.id ?? '').replace(/^\//, '');
  return new TsbuildError(
    'TSB_CACHE_MOUNTS_TOO_LARGE',
    `the index of the cache mounts has ${Math.ceil(bytes / MIB)} MiB, more than the ${MAX_INDEX_BYTES / MIB} MiB that an import reads: cache mount "${id}" has ${largest?.entries.length ?? 0} files`,
    { hint: `empty it with tsbuild prune --filter id=${id}, or export without mounts=true` },
  );
}

function packFields({ blob, chunks }: MountPack): unknown {
  return {
    digest: blob.digest,
    size: blob.size,
    chunks: Buffer.concat(chunks.map(({ id }) => Buffer.from(id, 'hex'))).toString('base64'),
    lengths: chunks.map(({ length }) => length),
  };
}

function entryFields(entry: MountEntry, numberOf: (id: string) => number): readonly unknown[] {
  const { path, kind, mode, uid, gid, mtimeNs, xattrs, chunks, target } = entry;
  const own = kind === 'file' ? chunks.map(numberOf) : target;
  const fields = [path, LETTERS[kind], mode, uid, gid, String(mtimeNs), own];
  return xattrs.length === 0 ? fields : [...fields, xattrs.map(([name, value]) => [name, value.toString('base64')])];
}

/** In the index, its mounts, one of them, and the list of its files. */
const ENTRY_DEPTH = 5;

/** Every path stays inside its mount, every chunk is in a pack. Throws TSB_CACHE_INVALID; `name` is for messages. */
export function parseMountIndex(bytes: Uint8Array, name: string): MountIndex {
  const text = decompress(bytes, name);
  const { outline, bounds } = outlineJSON(text, ENTRY_DEPTH);
  const { version, packs, mounts } = asRecord(parseJSON(Buffer.from(outline))) ?? {};
  if (version !== 1) throw invalidMounts(name, `version ${shownJSON(version)} is not known`);
  const parsedPacks = listOf(packs, name).map((one) => parsePack(one, name));
  const ids = parsedPacks.flatMap(({ chunks }) => chunks.map(({ id }) => id));
  let count = 0;
  const readEntry = (number: unknown): MountEntry => {
    const [start, end] = number === count ? bounds.slice(2 * count, 2 * count + 2) : [0, 0];
    count += 1;
    return parseEntry(parseJSON(text.subarray(start, end)), ids, name);
  };
  return {
    packs: parsedPacks,
    mounts: listOf(mounts, name).map((one) => {
      const { id, entries } = asRecord(one) ?? {};
      if (typeof id !== 'string') throw invalidMounts(name, 'one has no id');
      const parsed = listOf(entries, name).map(readEntry);
      checkPlaces(parsed, name);
      return { id, entries: parsed };
    }),
  };
}

/** Whatever has a parent comes after it, a directory, and no name comes twice: so nothing is made through a symlink. */
function checkPlaces(entries: readonly MountEntry[], name: string): void {
  const paths = new Set<string>();
  const directories = new Set(['']);
  for (const { path, kind } of entries) {
    const isPlaced = path === '' ? kind === 'dir' : directories.has(path.slice(0, Math.max(path.lastIndexOf('/'), 0)));
    if (!isPlaced || paths.has(path)) throw invalidMounts(name, `bad place of ${shownJSON(path)}`);
    paths.add(path);
    if (kind === 'dir') directories.add(path);
  }
}

/** The error for what is wrong with the mounts of a cache. */
export function invalidMounts(name: string, fact: string): TsbuildError {
  return new TsbuildError('TSB_CACHE_INVALID', `${name}: bad cache mounts: ${fact}`, { hint: 'export the cache anew' });
}

function decompress(bytes: Uint8Array, name: string): Buffer {
  try {
    return zstdDecompressSync(bytes, { maxOutputLength: MAX_INDEX_BYTES });
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE')
      throw invalidMounts(name, `the index has more than ${MAX_INDEX_BYTES / MIB} MiB`);
    throw invalidMounts(name, `the index is damaged: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function parsePack(value: unknown, name: string): MountPack {
  const { digest, size, chunks, lengths } = asRecord(value) ?? {};
  const isWhole =
    typeof digest === 'string' &&
    isDigest(digest) &&
    isCount(size) &&
    size <= MAX_PACK_BYTES &&
    typeof chunks === 'string';
  if (!isWhole) throw invalidMounts(name, `bad pack ${shownJSON(digest)}`);
  const ids = Buffer.from(chunks, 'base64').toString('hex');
  const sizes = listOf(lengths, name);
  const total = sizes.reduce<number>((sum, length) => sum + (isCount(length) ? length : Number.NaN), 0);
  if (ids.length !== sizes.length * ID_DIGITS || !(total <= MAX_PACK_BYTES)) {
    throw invalidMounts(name, `bad chunks of pack ${digest}`);
  }
  return {
    blob: { mediaType: MOUNT_PACK_TYPE, digest: digest as Digest, size },
    // Checked above, each of them.
    chunks: (sizes as readonly number[]).map((length, at) => ({
      id: ids.slice(at * ID_DIGITS, (at + 1) * ID_DIGITS),
      length,
    })),
  };
}

const ID_DIGITS = 64;

function parseEntry(value: unknown, ids: readonly string[], name: string): MountEntry {
  const [path, letter, mode, uid, gid, mtime, own, xattrs] = listOf(value, name);
  const kind = KINDS.get(letter);
  if (typeof path !== 'string' || !isInside(path) || kind === undefined) {
    throw invalidMounts(name, `bad file ${shownJSON(path)}`);
  }
  const isWhole = isCount(mode) && mode <= 0o7777 && isCount(uid) && isCount(gid) && isInteger(mtime);
  if (!isWhole) throw invalidMounts(name, `bad attributes of ${shownJSON(path)}`);
  const chunks = kind === 'file' ? listOf(own, name).map((number) => ids[Number(number)]) : NO_CHUNKS;
  const target = typeof own === 'string' ? own : '';
  const isLinked = kind === 'link' ? isInside(target) && target !== '' : kind !== 'symlink' || target !== '';
  if (!isLinked || !chunks.every((id) => id !== undefined)) {
    throw invalidMounts(name, `bad content of ${shownJSON(path)}`);
  }
  return {
    path,
    kind,
    mode,
    uid,
    gid,
    mtimeNs: BigInt(mtime),
    xattrs: xattrs === undefined ? NO_XATTRS : listOf(xattrs, name).map((one) => parseXattr(one, name)),
    chunks,
    target,
  };
}

const NO_XATTRS: MountEntry['xattrs'] = [];
const NO_CHUNKS: MountEntry['chunks'] = [];

function parseXattr(value: unknown, name: string): readonly [string, Buffer] {
  const [key = '', text = ''] = listOf(value, name).map(String);
  return [key, Buffer.from(text, 'base64')];
}

/** Relative, and never up: joined to a directory it stays below it, as long as no part of it is a link. */
function isInside(path: string): boolean {
  return path === '' || (!path.includes('\0') && path.split('/').every((part) => !['', '.', '..'].includes(part)));
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isInteger(value: unknown): value is string {
  return typeof value === 'string' && /^-?\d{1,19}$/.test(value);
}

function listOf(value: unknown, name: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw invalidMounts(name, 'the index lacks a list');
}
