// One layer's blob on its way: into the content store and, in the same pass, to whoever unpacks it.
import type { Descriptor } from './descriptor.ts';
import type { BlobOrigin } from './image-source.ts';
import type { ChunkFeed } from './chunk-feed.ts';
import type { ContentStore } from '../content/content-store.ts';

/** How far one blob is; the last of its reports is `done`, unless the transfer fails. */
export interface BlobProgress {
  /** The blob's digest, or `extracting <digest>`. */
  readonly id: string;
  /** Bytes. */
  readonly current: number;
  readonly total: number;
  readonly done: boolean;
}

interface TransferOptions {
  readonly content: ContentStore;
  readonly origin: BlobOrigin;
  readonly blob: Descriptor;
  readonly signal: AbortSignal;
  readonly emitProgress: (progress: BlobProgress) => void;
}

/** Bytes between two reports of progress. */
const REPORT_BYTES = 1024 * 1024;

/** Fetches the blob into the content store unless it is there; verified. With `feed`, its bytes pass there, too: see `FeedUse`. */
export async function fetchBlob(options: TransferOptions, feed?: ChunkFeed): Promise<void> {
  const { content, origin, blob, signal, emitProgress } = options;
  const { digest, size } = blob;
  const from = async (offset: number): Promise<AsyncIterable<Uint8Array>> => {
    const chunks = reported(origin.openBlob(blob, { offset, signal }), offset, options);
    // Only what begins at the beginning can be unpacked on the way, and only once.
    if (offset === 0 && feed?.begin()) return feed.tee(chunks);
    feed?.abandon();
    return chunks;
  };
  try {
    await content.ingest({ digest, size }, from, signal);
  } finally {
    feed?.abandon();
  }
  emitProgress({ id: digest, current: size, total: size, done: true });
}

async function* reported(
  chunks: AsyncIterable<Uint8Array>,
  offset: number,
  { blob, emitProgress }: TransferOptions,
): AsyncGenerator<Uint8Array> {
  let current = offset;
  let reportedAt = offset;
  emitProgress({ id: blob.digest, current, total: blob.size, done: false });
  for await (const chunk of chunks) {
    current += chunk.length;
    if (current - reportedAt >= REPORT_BYTES) {
      reportedAt = current;
      emitProgress({ id: blob.digest, current, total: blob.size, done: false });
    }
    yield chunk;
  }
}
