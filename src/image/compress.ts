// Compressing layers. gzip is made of fixed blocks, each deflated on its own in libuv's threads with the block before it as
// its dictionary: the bytes depend on the input and the level alone, never on the number of processors.
import { availableParallelism } from 'node:os';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { constants, crc32, createZstdCompress, deflateRaw, type ZlibOptions } from 'node:zlib';

/** As `-o …,compression=` spells it. */
export type Compression = 'gzip' | 'zstd' | 'uncompressed';

/** The level is of the chosen form, and means nothing for `uncompressed`. */
export interface CompressOptions {
  readonly compression: Compression;
  /** gzip 0-9, default 6; zstd 1-22, default 3. */
  readonly level?: number;
}

/** The bytes in the given form. Memory is bounded by a few blocks. Chunks of the source must stay as they are when handed over. */
export function compress(
  source: Iterable<Uint8Array>,
  { compression, level }: CompressOptions,
): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'gzip':
      return gzip(source, level ?? constants.Z_DEFAULT_COMPRESSION);
    case 'zstd':
      return zstd(source, level ?? constants.ZSTD_CLEVEL_DEFAULT);
    case 'uncompressed':
      return Readable.from(source, { objectMode: true });
  }
}

const BLOCK_BYTES = 1 << 20;
/** Deflate looks back no further. */
const WINDOW_BYTES = 1 << 15;
// Deflate, no name, no time, no extra flags, unknown system: as Go's gzip writes it.
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);

const deflate = promisify<Uint8Array, ZlibOptions, Buffer>(deflateRaw);

async function* gzip(source: Iterable<Uint8Array>, level: number): AsyncGenerator<Uint8Array> {
  yield GZIP_HEADER;
  const pending: Promise<Buffer>[] = [];
  const maxPending = availableParallelism() + 1;
  let crc = 0;
  let size = 0;
  let previous: Buffer | undefined;
  try {
    for (const { block, isLast } of blocksOf(source)) {
      crc = crc32(block, crc);
      size += block.length;
      const options: ZlibOptions = {
        level,
        finishFlush: isLast ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
        ...(previous === undefined ? {} : { dictionary: previous.subarray(-WINDOW_BYTES) }),
      };
      pending.push(deflate(block, options));
      previous = block;
      if (pending.length >= maxPending) yield (await pending.shift()) ?? Buffer.alloc(0);
    }
    while (pending.length > 0) yield (await pending.shift()) ?? Buffer.alloc(0);
  } finally {
    // Only when the reader stopped or a block failed: nothing may reject unseen.
    await Promise.allSettled(pending);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc >>> 0, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield trailer;
}

/** The bytes in blocks of BLOCK_BYTES; the last may be shorter, or empty when there are no bytes at all. */
function* blocksOf(source: Iterable<Uint8Array>): Generator<{ readonly block: Buffer; readonly isLast: boolean }> {
  let full: Buffer | undefined;
  let block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let used = 0;
  for (const chunk of source) {
    for (let at = 0; at < chunk.length; ) {
      if (used === BLOCK_BYTES) {
        if (full !== undefined) yield { block: full, isLast: false };
        full = block;
        block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
        used = 0;
      }
      const length = Math.min(chunk.length - at, BLOCK_BYTES - used);
      block.set(chunk.subarray(at, at + length), used);
      used += length;
      at += length;
    }
  }
  if (full !== undefined) yield { block: full, isLast: false };
  yield { block: block.subarray(0, used), isLast: true };
}

async function* zstd(source: Iterable<Uint8Array>, level: number): AsyncGenerator<Uint8Array> {
  const stream = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: level } });
  const input = Readable.from(source, { objectMode: true });
  input.on('error', (error) => stream.destroy(error));
  yield* input.pipe(stream);
}
