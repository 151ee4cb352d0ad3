// The frontend's one port: what is behind an image name. Implemented in src/image over registry, image store and OCI layouts.
import type { Digest } from '../solver/digest.ts';
import type { Platform } from '../solver/op.ts';
import type { ImageConfig } from './image-config.ts';

/** What the build is pinned to: nothing of it changes when the name comes to mean something else. */
export interface ResolvedImage {
  /** The name with its digest, as `FROM` lines show it: `127.0.0.1:5000/library/busybox:latest@sha256:…`. */
  readonly reference: string;
  /** LLB source identifier: `docker-image://…@sha256:…` or `oci-layout://…@sha256:…`. */
  readonly identifier: string;
  readonly attrs: Readonly<Record<string, string>>;
  /** Digest of the manifest or index that the name led to (BuildKit shows and keys this one). */
  readonly digest: Digest;
  readonly platform: Platform;
  readonly config: ImageConfig;
}

/** For an index: which of its manifests is meant. */
export interface ResolveImageOptions {
  readonly platform: Platform;
}

/** Throws TsbuildError (TSB_IMAGE_…, TSB_REGISTRY_…) with the text BuildKit gives; the frontend adds the FROM's range. */
export interface ImageResolver {
  /**
   * `reference` is a full name with tag or digest, such as `docker.io/library/debian:bookworm`, or `oci-layout://path…`
   * from a named context. Each name is asked for once for each platform.
   */
  resolveImage(reference: string, options: ResolveImageOptions): Promise<ResolvedImage>;
}
