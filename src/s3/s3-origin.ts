// A bucket as the origin of layers.
import type { Digest } from '../../solver/digest.ts';
import type { Descriptor } from '../image/descriptor.ts';
import type { BlobOrigin, ReadBlobOptions } from '../image/image-source.ts';
import type { S3Access } from './s3-access.ts';
import type { S3Bucket } from './s3-client.ts';

/** The blobs under a prefix of a bucket. */
export class S3Origin implements BlobOrigin {
  readonly #access: () => Promise<S3Access>;
  readonly #bucket: S3Bucket;
  readonly #prefix: string;

  constructor(access: () => Promise<S3Access>, bucket: S3Bucket, prefix: string) {
    this.#access = access;
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  async readManifest(): Promise<Buffer> {
    throw new Error('internal error: a bucket holds no manifests');
  }

  async *openBlob(
    { digest, size }: Descriptor,
    { offset = 0, signal }: ReadBlobOptions = {},
  ): AsyncGenerator<Uint8Array> {
    const client = (await this.#access()).client(this.#bucket);
    yield* client.open(blobKey(this.#prefix, digest), size, offset, signal ?? new AbortController().signal);
  }
}

/** The key of a blob. */
export function blobKey(prefix: string, digest: Digest): string {
  return `${prefix}${digest}`;
}
