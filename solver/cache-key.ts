// The digests that name keys in BuildKit's cache, and the id a cache store gives a key.
import type { CacheKeySpec, CacheLink } from './cache-store.ts';
import { type Digest, digestOf } from './digest.ts';
import { encodeGoJSON } from './go-json.ts';

/** The output number of a content key, which belongs to no op's output. */
export const CONTENT_OUTPUT = -1;

/** A record's digest in an exported cache: that of a root key, or of an op's digest and output. */
export function rootKey(digest: Digest, output: number): Digest {
  return digestOf(`${digest}@${output}`);
}

/** The spec of the key by which an input of that content is known. */
export function contentKeySpec(content: Digest): CacheKeySpec {
  return { digest: content, output: CONTENT_OUTPUT, inputs: [] };
}

/**
 * The id for a key that a store does not know yet. It depends on the spec alone, so two processes that save the same
 * key at once agree on its id. Root keys are named as BuildKit names them.
 */
export function newKeyID(spec: CacheKeySpec): string {
  const root = rootKey(spec.digest, spec.output);
  if (spec.inputs.length === 0) return root;
  const inputs = spec.inputs.map((links) => links.map(formatLink).sort());
  return digestOf(encodeGoJSON([root, ...inputs]));
}

function formatLink(link: CacheLink): string {
  return `${link.keyID} ${link.selector ?? ''}`;
}
