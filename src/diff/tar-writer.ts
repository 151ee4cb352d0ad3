// Tar headers, byte for byte as BuildKit's (Go's archive/tar with FormatPAX) come out, so that equal files make equal
// layers whoever built them: ustar blocks with NUL-terminated octal fields, a pax header before an entry whose fields do
// not fit, sorted pax records, no owner names, whole seconds. tar-stream's pack alters mode 0, uids above 262143, times
// after 2038 and binary attributes, so headers are written here; reading is tar-stream's (tar-applier.ts).
import { TsbuildError } from '../../solver/errors.ts';
import { encodeName } from '../sys/path-bytes.ts';

/** Bytes of a header, and what everything is padded to. */
export const TAR_BLOCK = 512;

/** Two zero blocks end an archive. */
export const TAR_END_LENGTH = 2 * TAR_BLOCK;

const TYPE_FLAGS = { file: '0', link: '1', symlink: '2', char: '3', block: '4', dir: '5', fifo: '6' } as const;

/** What an entry is; `link` is a further name of an earlier one. */
export type TarEntryType = keyof typeof TYPE_FLAGS;

/** All of a header: nothing is taken from the file, the clock or the user. */
export interface TarEntry {
  /** Relative, with slashes; a directory's ends in one. Bytes that are not UTF-8 escaped as sys/path-bytes.ts does. */
  readonly name: string;
  readonly type: TarEntryType;
  /** 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes that follow the header; 0 for what is not a regular file. */
  readonly size: number;
  /** Whole seconds since the epoch; may be negative. */
  readonly mtimeSeconds: number;
  /** Target of a link or symlink. */
  readonly linkName?: string;
  readonly rdev?: { readonly major: number; readonly minor: number };
  /** Written as SCHILY.xattr records. */
  readonly xattrs?: readonly (readonly [name: string, value: Uint8Array])[];
  /** Splits a long name into ustar's prefix and name where that suffices, as Go does for entries of no set format. */
  readonly isPrefixAllowed?: boolean;
}

const NAME_SIZE = 100;
const PREFIX_SIZE = 155;
const MAX_ID = 0o7777777;
const MAX_LONG = 0o77777777777;
const MAX_PAX_BYTES = 1 << 20;
const SLASH = 0x2f;
const MAGIC_AND_VERSION = 'ustar\u000000';

/** Zero bytes that fill the last block of `size` bytes. */
export function tarPadding(size: number): number {
  const rest = size % TAR_BLOCK;
  return rest === 0 ? 0 : TAR_BLOCK - rest;
}

/** The header of an entry: one block, or three and more when a pax header goes before it. Throws TSB_LAYER_UNREPRESENTABLE. */
export function encodeTarHeader(entry: TarEntry): Buffer {
  const name = encodeName(entry.name);
  const linkName = encodeName(entry.linkName ?? '');
  const split = entry.isPrefixAllowed === true ? splitName(name) : undefined;
  const others = paxRecords(entry, fitsName(name) || split !== undefined ? undefined : name, linkName);
  const records = others.length > 0 && split !== undefined ? paxRecords(entry, name, linkName) : others;
  checkRest(entry, name, linkName);
  const block = Buffer.alloc(TAR_BLOCK);
  const fields = split !== undefined && records.length === 0 ? split : { prefix: undefined, name };
  writeText(block, 0, fields.name);
  writeText(block, 157, linkName);
  writeOctal(block, 100, 8, entry.mode);
  writeOctal(block, 108, 8, entry.uid);
  writeOctal(block, 116, 8, entry.gid);
  writeOctal(block, 124, 12, entry.size);
  writeOctal(block, 136, 12, entry.mtimeSeconds);
  writeOctal(block, 329, 8, entry.rdev?.major ?? 0);
  writeOctal(block, 337, 8, entry.rdev?.minor ?? 0);
  if (fields.prefix !== undefined) fields.prefix.copy(block, 345);
  seal(block, 0, TYPE_FLAGS[entry.type]);
  return records.length === 0 ? block : Buffer.concat([paxHeader(name, Buffer.concat(records)), block]);
}

/**
 * Writes the header of a plain entry into `target` at `at` (512 zero bytes) without making garbage, or returns false when
 * the entry needs `encodeTarHeader`.
 */
export function writePlainHeader(target: Buffer, at: number, entry: TarEntry): boolean {
  if (!isPlain(entry)) return false;
  target.write(entry.name, at, 'latin1');
  writeOctal(target, at + 100, 8, entry.mode);
  writeOctal(target, at + 108, 8, entry.uid);
  writeOctal(target, at + 116, 8, entry.gid);
  writeOctal(target, at + 124, 12, entry.size);
  writeOctal(target, at + 136, 12, entry.mtimeSeconds);
  writeOctal(target, at + 329, 8, 0);
  writeOctal(target, at + 337, 8, 0);
  seal(target, at, TYPE_FLAGS[entry.type]);
  return true;
}

function isPlain({ name, type, uid, gid, size, mtimeSeconds, xattrs }: TarEntry): boolean {
  return (
    (type === 'file' || type === 'dir') &&
    name.length <= NAME_SIZE &&
    Buffer.byteLength(name) === name.length &&
    !name.includes('\0') &&
    uid <= MAX_ID &&
    gid <= MAX_ID &&
    size <= MAX_LONG &&
    mtimeSeconds >= 0 &&
    mtimeSeconds <= MAX_LONG &&
    (xattrs === undefined || xattrs.length === 0)
  );
}

function paxRecords(entry: TarEntry, path: Buffer | undefined, linkName: Buffer): Buffer[] {
  const records: [key: string, value: Buffer | string][] = [];
  for (const [key, value] of entry.xattrs ?? []) records.push([`SCHILY.xattr.${key}`, Buffer.from(value)]);
  if (path !== undefined) records.push(['path', path]);
  if (!fitsName(linkName)) records.push(['linkpath', linkName]);
  for (const [key, value, limit] of [
    ['uid', entry.uid, MAX_ID],
    ['gid', entry.gid, MAX_ID],
    ['size', entry.size, MAX_LONG],
    ['mtime', entry.mtimeSeconds, MAX_LONG],
  ] as const) {
    if (!Number.isSafeInteger(value) || (key !== 'mtime' && value < 0)) {
      throw unrepresentable(entry.name, `${key} ${value}`);
    }
    if (value < 0 || value > limit) records.push([key, String(value)]);
  }
  return records.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => paxRecord(key, value));
}

function checkRest(entry: TarEntry, name: Buffer, linkName: Buffer): void {
  if (name.length === 0 || name.includes(0) || linkName.includes(0)) throw unrepresentable(entry.name, 'its name');
  if (!(entry.mode >= 0 && entry.mode <= 0o7777)) throw unrepresentable(entry.name, `mode ${entry.mode}`);
  const { major, minor } = entry.rdev ?? { major: 0, minor: 0 };
  if (major > MAX_ID || minor > MAX_ID) throw unrepresentable(entry.name, `device number ${major}:${minor}`);
  for (const [key] of entry.xattrs ?? []) {
    if (key.includes('=') || key.includes('\0')) throw unrepresentable(entry.name, `extended attribute "${key}"`);
  }
}

function unrepresentable(name: string, what: string): TsbuildError {
  return new TsbuildError('TSB_LAYER_UNREPRESENTABLE', `a layer cannot hold "${name}": ${what} has no form in a tar`);
}

/** "<length> <key>=<value>\n", where the length counts itself. */
function paxRecord(key: string, value: Buffer | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  const start = encodeName(key);
  const bare = start.length + bytes.length + 3;
  let length = bare + String(bare).length;
  length = bare + String(length).length;
  return Buffer.concat([Buffer.from(`${length} `), start, Buffer.from('='), bytes, Buffer.from('\n')]);
}

function paxHeader(name: Buffer, records: Buffer): Buffer {
  if (records.length > MAX_PAX_BYTES) throw unrepresentable(name.toString(), `${records.length} bytes of attributes`);
  const block = Buffer.alloc(TAR_BLOCK);
  const label = paxName(name.toString('latin1'));
  block.write(
    label
      .replace(/[^\x01-\x7f]/g, '')
      .slice(0, NAME_SIZE)
      .replace(/\/+$/, ''),
    0,
    'latin1',
  );
  for (const [at, width] of [
    [100, 8],
    [108, 8],
    [116, 8],
    [136, 12],
  ] as const) {
    writeOctal(block, at, width, 0);
  }
  writeOctal(block, 124, 12, records.length);
  seal(block, 0, 'x');
  return Buffer.concat([block, records, Buffer.alloc(tarPadding(records.length))]);
}

/** "PaxHeaders.0" between the directory and the last component, as Go names it. */
function paxName(name: string): string {
  const slash = name.lastIndexOf('/');
  const last = name.slice(slash + 1);
  return `${name.slice(0, slash + 1)}PaxHeaders.0${last === '' ? '' : `/${last}`}`;
}

function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte !== 0 && byte < 0x80);
}

function fitsName(bytes: Buffer): boolean {
  return bytes.length <= NAME_SIZE && isAscii(bytes);
}

function splitName(name: Buffer): { prefix: Buffer; name: Buffer } | undefined {
  if (name.length <= NAME_SIZE || !isAscii(name)) return undefined;
  const end = name.length > PREFIX_SIZE + 1 ? PREFIX_SIZE + 1 : name.length - (name.at(-1) === SLASH ? 1 : 0);
  const slash = name.subarray(0, end).lastIndexOf(SLASH);
  const rest = name.length - slash - 1;
  if (slash <= 0 || rest > NAME_SIZE || rest === 0) return undefined;
  return { prefix: name.subarray(0, slash), name: name.subarray(slash + 1) };
}

/** What fits of a name, ASCII only: the whole one is in a pax record then. */
function writeText(block: Buffer, at: number, bytes: Buffer): void {
  const ascii = isAscii(bytes) ? bytes : bytes.filter((byte) => byte !== 0 && byte < 0x80);
  const length = Math.min(ascii.length, NAME_SIZE);
  block.set(ascii.subarray(0, length), at);
  if (ascii.length <= NAME_SIZE) return;
  // A cut name must not end in a slash: some readers would take it for a directory.
  for (let end = at + NAME_SIZE - 1; end >= at && block[end] === SLASH; end--) block[end] = 0;
}

/** Zero-filled octal digits and a NUL; a number that does not fit is written as 0, its value is in a pax record. */
function writeOctal(block: Buffer, at: number, width: number, value: number): void {
  const limit = width === 8 ? MAX_ID : MAX_LONG;
  let rest = value >= 0 && value <= limit ? value : 0;
  for (let digit = at + width - 2; digit >= at; digit--) {
    const next = Math.floor(rest / 8);
    block[digit] = 0x30 + rest - next * 8;
    rest = next;
  }
  block[at + width - 1] = 0;
}

/** Sets type, magic, version and checksum of the block at `at`. */
function seal(block: Buffer, at: number, flag: string): void {
  block[at + 156] = flag.charCodeAt(0);
  block.write(MAGIC_AND_VERSION, at + 257, 'latin1');
  block.write('        ', at + 148, 'latin1');
  let sum = 0;
  for (let index = at; index < at + TAR_BLOCK; index++) sum += block[index] ?? 0;
  for (let digit = at + 153; digit >= at + 148; digit--) {
    block[digit] = 0x30 + (sum & 7);
    sum >>= 3;
  }
  block[at + 154] = 0;
}
