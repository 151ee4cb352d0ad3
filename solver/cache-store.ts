// The port to what earlier solves left behind: links from keys to keys, and results under keys.
//
// A *cache key* is an op's digest, an output number and, for every input, the key (or keys) under which that input is
// known. Keys are stored as links, as BuildKit does: (input key id, input number, selector, op digest, output) -> key id.
// So a chain can be followed although a result in its middle is gone, and a key can be reached by a definition and by a content.
//
// A spec *matches* a key when, for every input, at least one of its alternatives is stored as a link to that key at that
// input number, with the spec's digest and output. One matching input is not enough: `COPY a` and `COPY b` onto one base
// share the link of input 0 and are two keys. Nor does a spec match a key that has more inputs: BuildKit gives a COPY from
// an empty stage the digest of one from any stage, and takes the one for the other. A root spec (no inputs) matches the key saved with that digest and output.
// `newKeyID` in cache-key.ts gives ids that two processes agree on.
import type { Digest } from './digest.ts';

/** How one input of a key is known: the id of its key and the selector joined to it. */
export interface CacheLink {
  readonly keyID: string;
  readonly selector?: Digest;
}

/** A key to look up or save. Root keys (sources, contents) have no inputs. */
export interface CacheKeySpec {
  readonly digest: Digest;
  readonly output: number;
  /** For each input, all alternatives under which it is known; any one that matches will do. */
  readonly inputs: readonly (readonly CacheLink[])[];
}

/** One result of a key. A `resultID` of undefined is the empty tree; the time is UTC, ms since the epoch. */
export interface CacheRecord {
  readonly keyID: string;
  readonly resultID: string | undefined;
  readonly createdAtMs: number;
}

/** The readable parts a key was made of, kept so that a later miss can be explained. */
export interface KeyParts {
  readonly vertexName: string;
  readonly opDigest: Digest;
  readonly contents: readonly { readonly input: number; readonly digest: Digest }[];
}

/** Records are visible to other processes when `save` has returned; all calls are idempotent. */
export interface CacheStore {
  /** Ids of the keys that the spec matches; none for a key that was never saved, or when an input has no alternatives. */
  find(spec: CacheKeySpec): readonly string[];
  /**
   * Makes one key known by all links of the spec, and returns its id: the first that `find` gives for the spec, or a new
   * one when `find` gives none. With `keyID` the links are added to that saved key, whatever `find` gives. Every input has
   * at least one alternative.
   */
  save(spec: CacheKeySpec, keyID?: string): string;
  /** Results stored under the key, newest first, also when two were saved in the same millisecond. */
  records(keyID: string): readonly CacheRecord[];
  /** Stores the result as the newest of the key; one that is there already stays one record. */
  saveResult(keyID: string, resultID: string | undefined, parts: KeyParts): void;
  /** Forgets a record whose result is gone. The key and its links stay. */
  dropResult(keyID: string, resultID: string | undefined): void;
}
