// Compressed archives: what a file is by its first bytes, and its bytes uncompressed.
import { createReadStream } from 'node:fs';
import { PassThrough, pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { TsbuildError } from '../../solver/errors.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import { TAR_BLOCK } from './tar-writer.ts';

type ArchiveKind = 'tar' | 'gzip' | 'bzip2' | 'xz' | 'zstd';

const MAGICS: readonly (readonly [ArchiveKind, Buffer])[] = [
  ['gzip', Buffer.from([0x1f, 0x8b, 0x08])],
  ['bzip2', Buffer.from('BZh')],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
];
const CHUNK_BYTES = 256 * 1024;

/** What the bytes begin, by content and never by name; a tar is known by its first 512 bytes. */
export function sniffArchive(head: Uint8Array): ArchiveKind | undefined {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  const magic = MAGICS.find(([, start]) => bytes.subarray(0, start.length).equals(start));
  if (magic !== undefined) return magic[0];
  return isTarHeader(bytes) ? 'tar' : undefined;
}

/** True when the first block has a right checksum. */
function isTarHeader(bytes: Buffer): boolean {
  if (bytes.length < TAR_BLOCK) return false;
  let sum = 8 * 0x20;
  for (let at = 0; at < TAR_BLOCK; at++) sum += at >= 148 && at < 156 ? 0 : (bytes[at] ?? 0);
  const stored = /^[ \0]*([0-7]+)[ \0]/.exec(bytes.toString('latin1', 148, 157));
  return sum !== 8 * 0x20 && stored !== null && Number.parseInt(stored[1] ?? '', 8) === sum;
}

/**
 * The bytes of a layer or archive uncompressed, by content: what is not compressed comes as it is. The returned stream must
 * be read to its end or left by `return` (as `for await` does); both destroy what it reads from. Fails with
 * TSB_LAYER_CORRUPT when the compressed bytes are damaged.
 */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  const head = await takeHead(chunks);
  const kind = sniffArchive(head);
  const whole = chainHead(head, chunks);
  if (kind === undefined || kind === 'tar') {
    yield* whole;
    return;
  }
  try {
    yield* await decompressor(kind, whole);
  } catch (error) {
    throw toCorrupt(kind, error);
  }
}

/** What a stream begins, and all of its bytes. The caller reads them to their end or leaves them by `return`. */
export async function peekArchive(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly kind: ArchiveKind | undefined; readonly bytes: AsyncGenerator<Uint8Array> }> {
  const chunks = source[Symbol.asyncIterator]();
  const head = await takeHead(chunks);
  return { kind: sniffArchive(head), bytes: chainHead(head, chunks) };
}

/** The tar in a file, uncompressed, or undefined when the file holds none. The caller reads it to its end or leaves it by `return`. */
export async function openArchive(hostPath: string): Promise<AsyncGenerator<Uint8Array> | undefined> {
  const bytes = decompress(createReadStream(toFsPath(hostPath), { highWaterMark: CHUNK_BYTES }));
  const head = await takeHead(bytes).catch((error: unknown) => {
    if (error instanceof TsbuildError) return Buffer.alloc(0);
    throw error;
  });
  if (sniffArchive(head) === 'tar') return chainHead(head, bytes);
  await bytes.return(undefined);
  return undefined;
}

async function takeHead(chunks: AsyncIterator<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let length = 0; length < TAR_BLOCK; ) {
    const { done, value } = await chunks.next();
    if (done === true) break;
    parts.push(value);
    length += value.length;
  }
  return Buffer.concat(parts);
}

async function* chainHead(head: Buffer, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

async function decompressor(
  kind: Exclude<ArchiveKind, 'tar'>,
  source: AsyncIterable<Uint8Array>,
): Promise<AsyncIterable<Uint8Array>> {
  const input = Readable.from(source, { objectMode: false });
  switch (kind) {
    case 'gzip':
      return pipeline(input, createGunzip({ chunkSize: CHUNK_BYTES }), ignore);
    case 'zstd':
      return pipeline(input, createZstdDecompress({ chunkSize: CHUNK_BYTES }), ignore);
    case 'bzip2': {
      const { default: unbzip2 } = await import('unbzip2-stream');
      // A stream of the oldest kind: it cannot be iterated, and Readable.wrap drops what is unread when it closes.
      const unpacked = input.pipe(unbzip2());
      const output = new PassThrough();
      unpacked.pipe(output);
      for (const stream of [input, unpacked]) stream.on('error', (error: Error) => output.destroy(error));
      output.on('close', () => input.destroy());
      return output;
    }
    case 'xz': {
      const xz = await import('xz-decompress');
      // A CommonJS bundle: Node sees no names in it, only the whole.
      const { XzReadableStream } = (xz.default as typeof xz | undefined) ?? xz;
      const output = new XzReadableStream(Readable.toWeb(input) as ReadableStream<Uint8Array>);
      return output as unknown as AsyncIterable<Uint8Array>;
    }
  }
}

/** Errors reach the reader of the last stream. */
function ignore(): void {}

function toCorrupt(kind: ArchiveKind, error: unknown): unknown {
  if (error instanceof TsbuildError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const isSourceError = code !== undefined && !/^(Z_|ZSTD_|ERR_)/.test(code);
  if (isSourceError) return error;
  return new TsbuildError('TSB_LAYER_CORRUPT', `damaged ${kind} data: ${message}`, { cause: error });
}
