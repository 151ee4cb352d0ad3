// Blobs as files in the store's blobs/sha256/, each written beside it, synced and renamed.
import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline, type Readable, Transform } from 'node:stream';
import { type Digest, digestFromHex, digestHex, digestOf } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { type ProcessIdentity, temporaryPrefix } from '../store/owners.ts';
import { storeError, withStoreErrors } from '../store/store-errors.ts';
import { codeOf } from '../sys/error-code.ts';
import type { BlobExpectation, ContentStore } from './content-store.ts';
import { ingestBlob } from './ingest.ts';

interface DiskContentStoreOptions {
  /** The store's directory; its blobs/sha256/ and tmp/ exist. */
  readonly root: string;
  readonly self: () => ProcessIdentity;
}

/** See the port. Failures of the disk are TSB_STORE_… errors. */
export class DiskContentStore implements ContentStore {
  readonly #root: string;
  readonly #self: () => ProcessIdentity;
  readonly #ingests = new Map<Digest, Promise<void>>();
  #temporaries = 0;

  constructor({ root, self }: DiskContentStoreOptions) {
    this.#root = root;
    this.#self = self;
  }

  has(digest: Digest): boolean {
    return this.sizeOf(digest) !== undefined;
  }

  sizeOf(digest: Digest): number | undefined {
    return statSync(this.pathOf(digest), { throwIfNoEntry: false })?.size;
  }

  pathOf(digest: Digest): string {
    return join(this.#root, 'blobs', 'sha256', digestHex(digest));
  }

  read(digest: Digest): Buffer {
    const bytes = this.#readFile(digest);
    const found = digestOf(bytes);
    if (found !== digest) throw mismatch(digest, found, this.#damaged(digest));
    return bytes;
  }

  open(digest: Digest): Readable {
    if (!this.has(digest)) throw notFound(digest);
    const file = createReadStream(this.pathOf(digest), { highWaterMark: 256 * 1024 });
    // Errors travel through the transform, whose reader sees them.
    return pipeline(file, verifying(digest, this.#damaged(digest)), () => {});
  }

  put(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    if (this.sizeOf(digest) === bytes.length) return digest;
    const path = this.temporaryPath();
    try {
      writeFileSync(path, bytes, { mode: 0o644, flush: true });
      renameSync(path, this.pathOf(digest));
    } catch (error) {
      rmSync(path, { force: true });
      throw storeError(this.#root, error);
    }
    return digest;
  }

  async ingest(
    expected: BlobExpectation,
    from: (offset: number) => Promise<AsyncIterable<Uint8Array>>,
    signal?: AbortSignal,
  ): Promise<void> {
    signal?.throwIfAborted();
    if (this.sizeOf(expected.digest) === expected.size) return;
    const other = this.#ingests.get(expected.digest);
    if (other !== undefined) {
      // The same blob for someone else in this process: theirs will do, and if it fails, it is our turn.
      await other.catch(() => {});
      return this.ingest(expected, from, signal);
    }
    const own = this.#ingest(expected, from, signal).finally(() => this.#ingests.delete(expected.digest));
    this.#ingests.set(expected.digest, own);
    return own;
  }

  async receive(from: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<BlobExpectation> {
    const path = this.temporaryPath();
    try {
      const hash = createHash('sha256');
      let size = 0;
      await writeFile(
        path,
        tapped(from, (chunk) => {
          hash.update(chunk);
          size += chunk.length;
        }),
        { mode: 0o644, ...(signal && { signal }) },
      );
      const digest = digestFromHex(hash.digest('hex'));
      this.adopt(path, digest);
      return { digest, size };
    } catch (error) {
      rmSync(path, { force: true });
      throw storeError(this.#root, error);
    }
  }

  adopt(path: string, digest: Digest): void {
    withStoreErrors(this.#root, () => {
      if (this.has(digest)) return rmSync(path, { force: true });
      syncFile(path);
      renameSync(path, this.pathOf(digest));
    });
  }

  temporaryPath(): string {
    this.#temporaries += 1;
    // A second store object in this process counts from 1, too.
    const unique = `${process.hrtime.bigint().toString(36)}-${this.#temporaries}`;
    return join(this.#root, 'tmp', `${temporaryPrefix(this.#self())}${unique}`);
  }

  async #ingest(
    expected: BlobExpectation,
    from: (offset: number) => Promise<AsyncIterable<Uint8Array>>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const directory = join(this.#root, 'tmp');
    try {
      await ingestBlob({
        directory,
        self: this.#self(),
        expected,
        from,
        target: this.pathOf(expected.digest),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      throw storeError(this.#root, error);
    }
  }

  #readFile(digest: Digest): Buffer {
    try {
      return readFileSync(this.pathOf(digest));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw notFound(digest);
      throw storeError(this.#root, error);
    }
  }

  #damaged(digest: Digest): string {
    return `remove the damaged blob "${this.pathOf(digest)}" and build again`;
  }
}

/** The blob's bytes are not those its digest stands for. */
function mismatch(expected: Digest, found: Digest, hint: string): TsbuildError {
  return new TsbuildError('TSB_CONTENT_DIGEST_MISMATCH', `blob ${expected} has digest ${found}`, { hint });
}

function notFound(digest: Digest): TsbuildError {
  return new TsbuildError('TSB_CONTENT_NOT_FOUND', `blob ${digest} is not in the store`, {
    hint: 'it may have been pruned: build again',
  });
}

function verifying(digest: Digest, hint: string): Transform {
  const hash = createHash('sha256');
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
    flush(done) {
      const found = digestFromHex(hash.digest('hex'));
      done(found === digest ? null : mismatch(digest, found, hint));
    },
  });
}

async function* tapped(
  chunks: AsyncIterable<Uint8Array>,
  tap: (chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    tap(chunk);
    yield chunk;
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
