// Toy vertices, constants and sums, and an op runner that counts what it is asked for. The result of a step is a number
// as text; its content is that text.
import { type Digest, digestOf } from '../../solver/digest.ts';
import type {
  CacheMap,
  CacheMapInput,
  ContentSelector,
  LoadRequest,
  OpRunner,
  Result,
  RunContext,
} from '../../solver/op-runner.ts';
import type { Vertex, VertexOptions } from '../../solver/vertex.ts';
import { createVertex } from '../../solver/vertex-factory.ts';

export type Counting = 'definition' | 'content';

/** A source that is always the same number; `tag` makes it another source of the same number. */
export function constant(value: number, tag = ''): Vertex {
  return createVertex({ kind: 'source', identifier: `const://${value}`, attrs: { tag } }, [], {
    name: `const ${value}${tag}`,
  });
}

/** A source whose number is looked up in `runner.locals` whenever it is run. */
export function local(name: string): Vertex {
  return createVertex({ kind: 'source', identifier: `local://${name}`, attrs: {} }, [], { name: `local ${name}` });
}

/** A step that adds up its inputs, each of which counts by definition unless said otherwise. */
export function sum(
  name: string,
  inputs: readonly (Vertex | readonly [Vertex, Counting])[],
  options: Partial<VertexOptions> = {},
): Vertex {
  const pairs = inputs.map((input) => ('digest' in input ? ([input, 'definition'] as const) : input));
  const meta = { args: [name, ...pairs.map(([, counting]) => counting)], env: [], cwd: '/' };
  return createVertex(
    { kind: 'exec', meta, mounts: [], network: 'none', security: 'sandbox' },
    pairs.map(([vertex]) => ({ vertex, index: 0 })),
    { name, ...options },
  );
}

/** A step that counts each input by content. */
export function copySum(name: string, ...inputs: readonly Vertex[]): Vertex {
  return sum(
    name,
    inputs.map((input) => [input, 'content'] as const),
  );
}

/** One call of `run` that waits to be told how it ends. */
interface HeldRun {
  /** Resolves when the run has begun. */
  readonly begun: Promise<void>;
  finish(): void;
  fail(error: Error): void;
}

export class FakeRunner implements OpRunner {
  readonly locals = new Map<string, number>();
  /** Names in the order in which they were run. */
  readonly runs: string[] = [];
  readonly contentDigests: string[] = [];
  readonly cacheMaps: string[] = [];
  /** Results whose bytes are gone. */
  readonly lost = new Set<string>();
  /** Results that are lost as soon as an op is about to read them. */
  readonly fading = new Set<string>();
  /** Results that are lost for this build only. */
  readonly away = new Set<string>();
  /** Errors to throw instead of a content digest, by the name of the input. */
  readonly contentErrors = new Map<string, Error>();
  readonly cacheMapErrors = new Map<string, Error>();
  /** Names of steps that keep running when they are told to stop. */
  readonly stubborn = new Set<string>();
  /** Added to every result of the named step, as a clock or a download would. */
  readonly drifts = new Map<string, number>();
  readonly #held = new Map<string, { begin: () => void; ended: Promise<void> }>();

  hold(name: string): HeldRun {
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    ended.promise.catch(() => undefined);
    this.#held.set(name, { begin: begun.resolve, ended: ended.promise });
    return { begun: begun.promise, finish: ended.resolve, fail: ended.reject };
  }

  forget(): void {
    for (const list of [this.runs, this.contentDigests, this.cacheMaps]) list.length = 0;
  }

  async cacheMap(vertex: Vertex): Promise<CacheMap> {
    const { op } = vertex;
    const name = vertex.options.name;
    this.cacheMaps.push(name);
    const error = this.cacheMapErrors.get(name);
    if (error !== undefined) throw error;
    if (op.kind === 'source') return sourceCacheMap(op.identifier, op.attrs.tag ?? '');
    if (op.kind !== 'exec') throw new Error(`no toy: ${op.kind}`);
    const [, ...countings] = op.meta.args;
    return { digest: digestOf(op.meta.args.join()), inputs: countings.map(mapInput) };
  }

  async contentDigest(
    input: Vertex,
    result: Result,
    selectors: readonly ContentSelector[],
    context: RunContext,
  ): Promise<Digest> {
    context.signal.throwIfAborted();
    this.contentDigests.push(input.options.name);
    const error = this.contentErrors.get(input.options.name);
    if (error !== undefined) throw error;
    return digestOf(`${selectors.map(({ path }) => path)} ${result.id}`);
  }

  async run(vertex: Vertex, inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    const name = vertex.options.name;
    this.runs.push(name);
    const held = this.#held.get(name);
    held?.begin();
    if (held !== undefined) await (this.stubborn.has(name) ? held.ended : endOrAbort(held.ended, context.signal));
    return [{ id: `${this.#valueOf(vertex, inputs) + (this.drifts.get(name) ?? 0)}` }];
  }

  async isAvailable(result: Result): Promise<boolean> {
    return result.id === undefined || !this.lost.has(result.id);
  }

  isAway(result: Result): boolean {
    return this.away.has(result.id ?? '');
  }

  async load({ result: { id }, isRecord }: LoadRequest): Promise<boolean> {
    if (id === undefined || !isRecord || !(this.fading.has(id) || this.lost.has(id))) return true;
    this.lost.add(id);
    return false;
  }

  #valueOf(vertex: Vertex, inputs: readonly Result[]): number {
    if (vertex.op.kind !== 'source') return inputs.reduce((total, { id }) => total + Number(id), 0);
    const [scheme, name = ''] = vertex.op.identifier.split('://');
    return scheme === 'local' ? (this.locals.get(name) ?? 0) : Number(name);
  }
}

function sourceCacheMap(identifier: string, tag: string): CacheMap {
  if (identifier.startsWith('local://')) return { digest: digestOf(identifier), inputs: [], isVolatile: true };
  return { digest: digestOf(`${identifier}${tag}`), inputs: [] };
}

function mapInput(counting: string): CacheMapInput {
  const selector = digestOf('/x');
  if (counting === 'definition') return { selector };
  return { selector, contentSelectors: [{ path: '/x', wildcard: false, followLinks: true }] };
}

async function endOrAbort(ended: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(new Error('stopped'));
  signal.addEventListener('abort', abort, { once: true });
  await Promise.race([ended, aborted.promise]).finally(() => signal.removeEventListener('abort', abort));
}
