// Where the bytes of an image come from, and what is known of an image once its name is resolved.
import type { LayerPlace } from './lazy-note.ts';
import type { ImageConfig } from '../../frontend/image-config.ts';
import type { Digest } from '../../solver/digest.ts';
import type { Platform } from '../../solver/op.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import type { Descriptor } from './descriptor.ts';

/** `offset` in bytes, default 0. */
export interface ReadBlobOptions {
  readonly offset?: number;
  readonly signal?: AbortSignal;
}

/** A place that holds blobs: a registry's repository, an OCI layout, or the content store alone. */
export interface BlobOrigin {
  /** Where it is, for who writes that down; absent where nothing else than this object can say. */
  readonly place?: LayerPlace;
  /** A manifest or index whole; the caller verifies it. */
  readManifest(descriptor: Descriptor, options?: ReadBlobOptions): Promise<Buffer>;
  /** The blob from `offset` on; the caller verifies it. Fails while it is read. */
  openBlob(descriptor: Descriptor, options?: ReadBlobOptions): AsyncIterable<Uint8Array>;
}

/** One layer; its chainID stands for it and all below it. */
export interface SourceLayer {
  readonly diffID: Digest;
  readonly chainID: Digest;
  /** The blob; absent for a layer that was built here and never written out. */
  readonly blob?: Descriptor;
  /** For an image of this machine: the snapshot that ends in this layer. */
  readonly snapshot?: SnapshotName;
}

/** All that is needed to get a resolved image's layers. */
export interface PulledSource {
  /** As in the source op: `docker-image://…@sha256:…` or `oci-layout://…@sha256:…`. */
  readonly identifier: string;
  /** The name as messages show it, with its digest. */
  readonly reference: string;
  /** The full name without digest under which a pulled copy is remembered; absent when only a digest was given. */
  readonly tag?: string;
  /** What the name led to: an index or a manifest; for an image built here that has no manifest, its config. */
  readonly digest: Digest;
  /** The manifest for the platform. */
  readonly manifestDigest?: Digest;
  readonly configDigest: Digest;
  readonly config: ImageConfig;
  readonly platform: Platform;
  /** Oldest first. */
  readonly layers: readonly SourceLayer[];
  readonly origin: BlobOrigin;
  /** True when it comes from a registry: once it is pulled, this machine remembers it. */
  readonly isRemote: boolean;
}
