// Tar entries with every field exact. tar-stream does the framing; of a pax header it applies path, linkpath and size, and
// decodes values as UTF-8, which alters binary attributes. So the pax bytes are parsed here, in the place of its method
// `_decodeLongHeader` (its only inner name we know; a test with a binary attribute watches over it), and names travel
// through it as latin1.
import { extract, type Header } from 'tar-stream';
import { TsbuildError } from '../../solver/errors.ts';
import { decodeName } from '../sys/path-bytes.ts';
import type { TarEntry, TarEntryType } from './tar-writer.ts';

/** An entry as it stands in the tar: the name may be absolute or climb out of its root. */
export interface TarReadEntry extends Omit<TarEntry, 'mtimeSeconds' | 'isPrefixAllowed' | 'linkName' | 'xattrs'> {
  /** Seconds since the epoch with fractions. */
  readonly mtimeSeconds: number;
  /** Empty for all but link and symlink. */
  readonly linkName: string;
  readonly xattrs: readonly (readonly [name: string, value: Buffer])[];
}

/** Takes an entry's bytes: `write` for each piece (valid only during the call), then `end`; or `abandon` where not all of them come. */
export interface EntrySink {
  write(bytes: Uint8Array): void;
  end(): void;
  abandon?(): void;
}

/** Called for each entry in order; returns where its bytes go, or undefined to skip them. */
type EntryReader = (entry: TarReadEntry) => EntrySink | undefined;

/** What `_decodeLongHeader` reads and leaves behind. */
interface ExtractInside {
  _header: { readonly type: string };
  _pax: PaxFields | null;
  _decodeLongHeader(bytes: Buffer): void;
}

interface PaxFields {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: string;
  readonly records: ReadonlyMap<string, Buffer>;
}

const XATTR_PREFIX = 'SCHILY.xattr.';
/** tar-stream calls itself for each entry without bytes in a chunk; short chunks keep its stack short. */
const CHUNK_BYTES = 64 * 1024;
const TYPES: Readonly<Record<string, TarEntryType>> = {
  file: 'file',
  'contiguous-file': 'file',
  link: 'link',
  symlink: 'symlink',
  'character-device': 'char',
  'block-device': 'block',
  directory: 'dir',
  fifo: 'fifo',
};

/** Reads a whole tar. Throws TSB_LAYER_CORRUPT, TSB_LAYER_UNSUPPORTED_ENTRY, and what `onEntry` and its sinks throw. */
export async function readTar(source: AsyncIterable<Uint8Array>, onEntry: EntryReader): Promise<void> {
  const parser = extract({ filenameEncoding: 'latin1', allowUnknownFormat: true } as object);
  readPaxBytes(parser as unknown as ExtractInside);
  let failure: Error | undefined;
  let open: EntrySink | undefined;
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const fail = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error));
    parser.destroy(failure);
  };
  parser.on('error', (error) => {
    failure ??= corrupt(error.message);
  });
  parser.on('close', close);
  parser.on('entry', (header, stream, next) => {
    // A destroyed parser takes its entry along; the parser's own error is the one reported.
    stream.on('error', () => {});
    try {
      const sink = onEntry(toReadEntry(header));
      if (header.size === 0) {
        sink?.end();
        next();
        return;
      }
      stream.on('data', (bytes) => guard(() => sink?.write(bytes as Uint8Array), fail));
      open = sink;
      stream.on('end', () => {
        open = undefined;
        if (guard(() => sink?.end(), fail)) next();
      });
    } catch (error) {
      fail(error);
    }
  });
  try {
    await feed(source, parser, () => failure !== undefined, closed);
  } catch (error) {
    fail(error);
  }
  await closed;
  open?.abandon?.();
  if (failure !== undefined) throw failure;
}

function guard(call: () => void, fail: (error: unknown) => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}

async function feed(
  source: AsyncIterable<Uint8Array>,
  parser: ReturnType<typeof extract>,
  hasFailed: () => boolean,
  closed: Promise<void>,
): Promise<void> {
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      if (hasFailed()) return;
      if (parser.write(bytes.subarray(at, at + CHUNK_BYTES))) continue;
      await Promise.race([new Promise<void>((resolve) => parser.once('drain', () => resolve())), closed]);
    }
  }
  parser.end(null);
}

function readPaxBytes(parser: ExtractInside): void {
  const decode = parser._decodeLongHeader.bind(parser);
  let globals: ReadonlyMap<string, Buffer> = new Map();
  parser._decodeLongHeader = (bytes) => {
    const { type } = parser._header;
    if (type === 'pax-global-header') globals = parsePax(bytes);
    else if (type === 'pax-header') parser._pax = toPaxFields(new Map([...globals, ...parsePax(bytes)]));
    else decode(bytes);
  };
}

function toPaxFields(records: ReadonlyMap<string, Buffer>): PaxFields {
  const text = (key: string): object => {
    const value = records.get(key);
    return value === undefined || value.length === 0 ? {} : { [key]: value.toString('latin1') };
  };
  return { ...text('path'), ...text('linkpath'), ...text('size'), records };
}

/** Records of a pax header: "<length> <key>=<value>\n", where the length counts the whole record. */
function parsePax(bytes: Buffer): ReadonlyMap<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString('latin1', at, space));
    const equals = bytes.indexOf(0x3d, space);
    const end = at + length;
    const isWhole = space > at && Number.isInteger(length) && equals > space && equals < end && end <= bytes.length;
    if (!isWhole || bytes[end - 1] !== 0x0a) throw new Error('malformed pax record');
    records.set(bytes.toString('utf8', space + 1, equals), Buffer.from(bytes.subarray(equals + 1, end - 1)));
    at = end;
  }
  return records;
}

function toReadEntry(header: Header): TarReadEntry {
  const records = (header.pax as unknown as PaxFields | null)?.records;
  const name = fromLatin1(header.name);
  const type = TYPES[header.type ?? ''];
  if (type === undefined || isSparse(records)) {
    const what = isSparse(records) ? 'a sparse file' : 'of a type no layer has';
    throw new TsbuildError('TSB_LAYER_UNSUPPORTED_ENTRY', `cannot unpack "${name}": the entry is ${what}`);
  }
  const hasLinkName = type === 'link' || type === 'symlink';
  return {
    name,
    type: type === 'file' && name.endsWith('/') ? 'dir' : type,
    mode: number(header.mode, name) & 0o7777,
    uid: number(records?.get('uid') ?? header.uid, name),
    gid: number(records?.get('gid') ?? header.gid, name),
    size: header.size,
    mtimeSeconds: number(records?.get('mtime') ?? header.mtime.getTime() / 1000, name),
    linkName: hasLinkName ? fromLatin1(header.linkname ?? '') : '',
    rdev: { major: header.devmajor, minor: header.devminor },
    xattrs: records === undefined ? [] : xattrsOf(records),
  };
}

function isSparse(records: ReadonlyMap<string, Buffer> | undefined): boolean {
  return records !== undefined && [...records.keys()].some((key) => key.startsWith('GNU.sparse.'));
}

function xattrsOf(records: ReadonlyMap<string, Buffer>): [string, Buffer][] {
  return [...records]
    .filter(([key]) => key.startsWith(XATTR_PREFIX))
    .map(([key, value]) => [key.slice(XATTR_PREFIX.length), value]);
}

function number(value: Buffer | number | undefined, name: string): number {
  const result = value instanceof Uint8Array ? Number(value.toString('latin1')) : (value ?? 0);
  if (Number.isFinite(result)) return result;
  throw corrupt(`a number of "${name}" is malformed`);
}

const NOT_ASCII = /[^\x00-\x7f]/;

function fromLatin1(text: string): string {
  return NOT_ASCII.test(text) ? decodeName(Buffer.from(text, 'latin1')) : text;
}

function corrupt(reason: string): TsbuildError {
  return new TsbuildError('TSB_LAYER_CORRUPT', `not a valid tar archive: ${reason}`);
}
