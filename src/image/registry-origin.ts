// A registry's repository as the origin of an image.
import type { ImageReference } from '../../frontend/reference.ts';
import type { RegistryClient } from '../registry/registry-client.ts';
import type { Descriptor } from './descriptor.ts';
import type { BlobOrigin, ReadBlobOptions } from './image-source.ts';
import type { LayerPlace } from './lazy-note.ts';

/** The client is opened on the first read. */
export class RegistryOrigin implements BlobOrigin {
  readonly place: LayerPlace;
  readonly #client: () => RegistryClient | Promise<RegistryClient>;
  readonly #repository: ImageReference;

  constructor(client: () => RegistryClient | Promise<RegistryClient>, { domain, path }: ImageReference) {
    this.#client = client;
    this.#repository = { domain, path };
    this.place = { kind: 'registry', domain, path };
  }

  async readManifest(descriptor: Descriptor, options: ReadBlobOptions = {}): Promise<Buffer> {
    const reference = { ...this.#repository, digest: descriptor.digest };
    const client = await this.#client();
    return (await client.fetchManifest(reference, options)).bytes;
  }

  async *openBlob(descriptor: Descriptor, options: ReadBlobOptions = {}): AsyncGenerator<Uint8Array> {
    yield* (await this.#client()).fetchBlob(this.#repository, descriptor, options);
  }
}
