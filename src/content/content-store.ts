// The content store: blobs under their digests, in the layout of an OCI image's `blobs/` directory.
//
// A blob is visible under its digest only when it is whole and verified: bytes go to a temporary file beside it, are
// digested on the way, synced, and renamed. Writing what exists is a success. Reads verify digest and size at the end.
import type { Readable } from 'node:stream';
import type { Digest } from '../../solver/digest.ts';

/** What a blob must be; the size is in bytes. Other bytes than these are refused and not kept. */
export interface BlobExpectation {
  readonly digest: Digest;
  readonly size: number;
}

/** Safe to use from several processes at once; whoever writes what is there already has succeeded. */
export interface ContentStore {
  has(digest: Digest): boolean;
  /** Bytes, or undefined when the blob is not here. */
  sizeOf(digest: Digest): number | undefined;
  /** Where the blob lies; for readers that map or re-open it. */
  pathOf(digest: Digest): string;
  /** Small blobs whole (manifests, configs); throws TSB_CONTENT_NOT_FOUND, TSB_CONTENT_DIGEST_MISMATCH. */
  read(digest: Digest): Buffer;
  /** Verified at its end: the stream fails with TSB_CONTENT_DIGEST_MISMATCH instead of ending. The caller consumes or destroys it. */
  open(digest: Digest): Readable;
  put(bytes: Uint8Array): Digest;
  /** Streams a blob in; keeps partial bytes under the digest so that a later call can `resume`. Throws TSB_CONTENT_DIGEST_MISMATCH. */
  ingest(
    expected: BlobExpectation,
    from: (offset: number) => Promise<AsyncIterable<Uint8Array>>,
    signal?: AbortSignal,
  ): Promise<void>;
  /** Streams in bytes whose digest nobody knows beforehand; nothing is kept of a stream that fails. */
  receive(from: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<BlobExpectation>;
  /** Adopts a file this process wrote in the store's temporary directory (same file system) under its digest. */
  adopt(path: string, digest: Digest): void;
  /** A fresh path in the store's temporary directory. */
  temporaryPath(): string;
}
