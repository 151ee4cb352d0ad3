// The content store alone as the origin of an image that was built here.
import type { ContentStore } from '../content/content-store.ts';
import type { Descriptor } from './descriptor.ts';
import type { BlobOrigin } from './image-source.ts';

/** Nothing is fetched: what is not in the store is an error. */
export class StoreOrigin implements BlobOrigin {
  readonly #content: ContentStore;

  constructor(content: ContentStore) {
    this.#content = content;
  }

  async readManifest(descriptor: Descriptor): Promise<Buffer> {
    return this.#content.read(descriptor.digest);
  }

  openBlob(descriptor: Descriptor): AsyncIterable<Uint8Array> {
    return this.#content.open(descriptor.digest);
  }
}
