// What a cache export holds: the keys by which the head was found, and all that lead to them along the definition of this
// build. A store knows more ways to a key than this build has gone; a link counts when it comes from a key of that very
// input's op, or from a content.
import type { CacheLink, CacheRecord } from '../../solver/cache-store.ts';
import { CONTENT_OUTPUT, rootKey } from '../../solver/cache-key.ts';
import type { Definition } from '../../solver/definition.ts';
import type { Digest } from '../../solver/digest.ts';
import type { Edge } from '../../solver/vertex.ts';

/** What the graph asks of the store of keys. */
export interface KeySource {
  keyOf(keyID: string): { readonly digest: Digest; readonly output: number } | undefined;
  linksTo(keyID: string): readonly (readonly CacheLink[])[];
  records(keyID: string): readonly CacheRecord[];
  /** For each input, root keys that lead to the key and that only an imported cache knows. */
  rootsOf?(keyID: string): readonly (readonly RootLink[])[];
}

/** A link from a root key of which only the record's digest is known. */
export interface RootLink {
  readonly digest: Digest;
  readonly selector?: Digest;
}

interface KeyGraphOptions {
  readonly store: KeySource;
  readonly definition: Definition;
  /** The digests by which each vertex's op is known: see CacheMap. Volatile ones have none. */
  readonly opDigests: ReadonlyMap<Digest, readonly Digest[]>;
  /** Of the head. */
  readonly keyIDs: readonly string[];
}

/** One key; `inputs` lead to others of the graph only, and never in a circle. */
export interface CollectedKey {
  readonly keyID: string;
  /** As exported: see rootKey. */
  readonly digest: Digest;
  readonly inputs: readonly (readonly CacheLink[])[];
  /** Further alternatives of the inputs. */
  readonly roots: readonly (readonly RootLink[])[];
  /** Newest first; none for a root key, whose result is not exported. */
  readonly records: readonly CacheRecord[];
}

/** The keys below and at the head, in the order of the walk: sources before those that use them. */
export function collectKeys(options: KeyGraphOptions): readonly CollectedKey[] {
  const collector = new Collector(options);
  const { head } = options.definition;
  if (head !== undefined) for (const keyID of options.keyIDs) collector.visit(keyID, head);
  return completeKeys(collector.inputs, options);
}

type Inputs = readonly Map<string, CacheLink>[];

class Collector {
  readonly inputs = new Map<string, Inputs>();
  readonly #options: KeyGraphOptions;
  readonly #vertices: ReadonlyMap<Digest, Edge['vertex']>;
  readonly #visited = new Set<string>();

  constructor(options: KeyGraphOptions) {
    this.#options = options;
    this.#vertices = new Map(options.definition.vertices.map((vertex) => [vertex.digest, vertex]));
  }

  /** `edge` is undefined for a content. */
  visit(keyID: string, edge: Edge | undefined): void {
    const name = `${keyID} ${edge === undefined ? '' : `${edge.vertex.digest} ${edge.index}`}`;
    if (this.#visited.has(name)) return;
    this.#visited.add(name);
    const links = edge === undefined ? [] : this.#options.store.linksTo(keyID);
    const inputs = this.inputs.get(keyID) ?? links.map(() => new Map<string, CacheLink>());
    this.inputs.set(keyID, inputs);
    for (const [input, alternatives] of links.entries()) {
      for (const link of alternatives) this.#follow(link, edge?.vertex.inputs[input], inputs[input]);
    }
  }

  #follow(link: CacheLink, edge: Edge | undefined, found: Map<string, CacheLink> | undefined): void {
    const key = this.#options.store.keyOf(link.keyID);
    if (key === undefined || edge === undefined) return;
    const isContent = key.output === CONTENT_OUTPUT;
    if (!isContent && !this.#isKeyOf(key, edge)) return;
    found?.set(`${link.keyID} ${link.selector ?? ''}`, link);
    this.visit(link.keyID, isContent ? undefined : this.#kept(edge));
  }

  #isKeyOf({ digest, output }: { readonly digest: Digest; readonly output: number }, edge: Edge): boolean {
    const digests = this.#options.opDigests.get(edge.vertex.digest) ?? [];
    return output === edge.index && digests.includes(digest);
  }

  /** Of equal vertices, the one the definition kept. */
  #kept(edge: Edge): Edge {
    return { vertex: this.#vertices.get(edge.vertex.digest) ?? edge.vertex, index: edge.index };
  }
}

/** Depth first: a link back to a key that is still open would close a circle and is left out, as are keys that lack an input. */
function completeKeys(found: ReadonlyMap<string, Inputs>, { store }: KeyGraphOptions): readonly CollectedKey[] {
  const keys = new Map<string, CollectedKey | undefined>();
  const open = new Set<string>();
  const complete = (keyID: string): CollectedKey | undefined => {
    if (open.has(keyID)) return undefined;
    if (keys.has(keyID)) return keys.get(keyID);
    open.add(keyID);
    const inputs = (found.get(keyID) ?? []).map((links) =>
      [...links.values()].filter((link) => complete(link.keyID) !== undefined),
    );
    open.delete(keyID);
    const key = store.keyOf(keyID);
    const isWhole = key !== undefined && inputs.every((links) => links.length > 0);
    const records = inputs.length === 0 ? [] : store.records(keyID);
    const roots = store.rootsOf?.(keyID) ?? [];
    const completed = isWhole ? { keyID, digest: rootKey(key.digest, key.output), inputs, roots, records } : undefined;
    keys.set(keyID, completed);
    return completed;
  };
  for (const keyID of found.keys()) complete(keyID);
  return [...keys.values()].filter((key) => key !== undefined);
}
