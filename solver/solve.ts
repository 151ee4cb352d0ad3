// In which order? A suspending scheduler: ask for the head, and every question asks its inputs first. Questions are
// remembered by edge, so equal vertices are looked up and run once, and independent ones proceed side by side.
//
// Three questions, from cheap to dear: `lookUp` (keys by definition, then by content), `resolve` (a result, from a record
// or a run), `run`. Whether keys match is decided in freshness.ts.
import { Attempts } from './attempts.ts';
import type { CacheRecord, CacheStore } from './cache-store.ts';
import type { Definition } from './definition.ts';
import type { Digest } from './digest.ts';
import { confirmKeys, findKeys, findRecords, type InputKeys, keyedEdge, saveResult } from './freshness.ts';
import { countsByContent, usesCache } from './cache-use.ts';
import { earlierReaders, type Reader, readerName } from './earlier-readers.ts';
import { Memo } from './memo.ts';
import type { Miss, MissInput } from './miss.ts';
import type { CacheMap, OpRunner, Result, RunContext } from './op-runner.ts';
import type { EmitEvent } from './progress.ts';
import { isHidden, lookedUp, type Resolved, type ResolvedInput, saved } from './resolved.ts';
import { StepLog } from './step-log.ts';
import type { Edge, Vertex } from './vertex.ts';

interface SolveOptions {
  readonly runner: OpRunner;
  readonly cacheStore: CacheStore;
  readonly signal: AbortSignal;
  readonly emit: EmitEvent;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
  /** Told the ids of the keys by which the head's result is saved, for an export of the cache. */
  readonly onSolved?: (keyIDs: readonly string[]) => void;
  /** Told of each vertex that was found in no record, or was not to be looked for, before it runs. */
  readonly onMiss?: (miss: Miss) => Promise<void>;
}

/**
 * The result of the definition's head; undefined when it has none. Rejects with the first failure (a TsbuildError then
 * knows its vertex) or with the signal's reason, once nothing runs any more. Records of finished steps are kept.
 */
export async function solve(definition: Definition, options: SolveOptions): Promise<Result | undefined> {
  if (definition.head === undefined) return undefined;
  return await new Scheduler(definition, options).solve(definition.head);
}

class Scheduler {
  readonly #options: SolveOptions;
  readonly #vertices: ReadonlyMap<Digest, Vertex>;
  readonly #log: StepLog;
  readonly #attempts: Attempts;
  readonly #cacheMaps = new Memo<CacheMap>();
  readonly #lookups = new Memo<readonly string[]>();
  readonly #contentLookups = new Memo<readonly string[]>();
  readonly #contents = new Memo<Digest | undefined>();
  readonly #earlierReaders: ReadonlyMap<string, Reader>;
  readonly #resolved = new Memo<Resolved>();
  readonly #runs = new Memo<readonly Resolved[]>();
  /** What lookups have found so far, for those who cannot wait. */
  readonly #found = new Map<string, readonly string[]>();

  constructor(definition: Definition, options: SolveOptions) {
    this.#options = options;
    this.#vertices = new Map(definition.vertices.map((vertex) => [vertex.digest, vertex]));
    this.#earlierReaders = earlierReaders(definition.vertices);
    this.#log = new StepLog(options.emit, options.now);
    this.#attempts = new Attempts(options.signal, options.emit, this.#log);
  }

  async solve(head: Edge): Promise<Result> {
    try {
      const { result, savedKeyIDs } = await this.#resolve(head);
      this.#options.onSolved?.(savedKeyIDs);
      for (const vertex of this.#vertices.values())
        if (!this.#log.has(vertex)) this.#log.cached(vertex, this.#newestResult({ vertex, index: 0 }));
      return result;
    } catch (error) {
      throw await this.#attempts.stop(error);
    }
  }

  /**
   * Ids of the keys the edge is known by, found without running it. An edge that is not known must run whatever else is
   * found: a step above it could only be known by its result. So it is started at once, and side branches do not queue.
   */
  #lookUp(edge: Edge): Promise<readonly string[]> {
    return this.#lookups.once(nameOf(edge), async () => {
      const vertex = this.#vertexOf(edge);
      const cacheMap = await this.#cacheMap(vertex);
      const keyIDs = usesCache(vertex, cacheMap) ? await this.#lookUpInputsFirst(vertex, cacheMap, edge.index) : [];
      this.#found.set(nameOf(edge), keyIDs);
      if (keyIDs.length === 0) void this.#resolve(edge);
      return keyIDs;
    });
  }

  async #lookUpInputsFirst(vertex: Vertex, cacheMap: CacheMap, output: number): Promise<readonly string[]> {
    const inputs = await Promise.all(
      vertex.inputs.map(async (input, index): Promise<InputKeys> => {
        const keyIDs = await this.#lookUp(input);
        if (keyIDs.length === 0) void this.#content(vertex, index);
        return { keyIDs };
      }),
    );
    const found = findKeys(this.#options.cacheStore, keyedEdge(vertex, cacheMap, output, inputs));
    return found.length > 0 ? found : await this.#lookUpByContent(vertex, cacheMap, output);
  }

  /** The same with contents as alternatives. Inputs that count by content are resolved for it, the others are not. */
  #lookUpByContent(vertex: Vertex, cacheMap: CacheMap, output: number): Promise<readonly string[]> {
    return this.#contentLookups.once(`${vertex.digest} ${output}`, async () => {
      const known = await Promise.all(vertex.inputs.map((input) => this.#lookUp(input)));
      const selectable = vertex.inputs.map((_, index) => countsByContent(cacheMap, index));
      if (!selectable.includes(true)) return [];
      if (known.some((keyIDs, index) => keyIDs.length === 0 && !selectable[index])) return [];
      const inputs = await Promise.all(
        vertex.inputs.map(async (input, index): Promise<ResolvedInput> => {
          const keyIDs = known[index] ?? [];
          if (!selectable[index]) return { keyIDs, savedKeyIDs: keyIDs, content: undefined };
          return await this.#resolveInput(vertex, input, index);
        }),
      );
      return this.#findConfirmed(vertex, cacheMap, output, inputs);
    });
  }

  #findConfirmed(
    vertex: Vertex,
    cacheMap: CacheMap,
    output: number,
    inputs: readonly ResolvedInput[],
  ): readonly string[] {
    const { cacheStore } = this.#options;
    const found = findKeys(cacheStore, keyedEdge(vertex, cacheMap, output, inputs.map(lookedUp)));
    if (found.length > 0) confirmKeys(cacheStore, keyedEdge(vertex, cacheMap, output, inputs.map(saved)));
    return found;
  }

  /** A result for the edge: a record's, if one is found and still there, else that of a run. */
  #resolve(edge: Edge): Promise<Resolved> {
    return this.#resolved.once(nameOf(edge), async () => {
      const vertex = this.#vertexOf(edge);
      const cacheMap = await this.#cacheMap(vertex);
      if (!usesCache(vertex, cacheMap)) return await this.#runFor(vertex, cacheMap, edge.index);
      return (
        (await this.#load(edge, await this.#lookUp(edge))) ??
        (await this.#load(edge, await this.#lookUpByContent(vertex, cacheMap, edge.index))) ??
        (await this.#load(edge, await this.#lookUpResolved(vertex, cacheMap, edge.index))) ??
        (await this.#runFor(vertex, cacheMap, edge.index))
      );
    });
  }

  /** The last lookup before a run: resolving the inputs may have found more keys for them. */
  async #lookUpResolved(vertex: Vertex, cacheMap: CacheMap, output: number): Promise<readonly string[]> {
    const inputs = await this.#resolveInputs(vertex);
    return this.#findConfirmed(vertex, cacheMap, output, inputs);
  }

  /** The first record whose result is still there; records of lost results are dropped on the way. */
  async #load(edge: Edge, keyIDs: readonly string[]): Promise<Resolved | undefined> {
    const { cacheStore, runner } = this.#options;
    const vertex = this.#vertexOf(edge);
    for (const { keyID, resultID } of findRecords(cacheStore, keyIDs)) {
      const result = { id: resultID };
      // The empty tree has no bytes that could be lost.
      if (resultID === undefined || (await this.#attempts.attempt(vertex, () => runner.isAvailable(result)))) {
        this.#tellCached(edge, resultID);
        return { result, isRecord: true, keyIDs, savedKeyIDs: keyIDs };
      }
      if (!runner.isAway(result)) cacheStore.dropResult(keyID, resultID);
    }
    return undefined;
  }

  async #runFor(vertex: Vertex, cacheMap: CacheMap, output: number): Promise<Resolved> {
    const outputs = await this.#runs.once(vertex.digest, () => this.#run(vertex, cacheMap));
    const resolved = outputs[output];
    if (resolved === undefined) throw new Error(`internal error: ${vertex.options.name} has no output ${output}`);
    return resolved;
  }

  async #run(vertex: Vertex, cacheMap: CacheMap): Promise<readonly Resolved[]> {
    const found = await this.#resolveInputs(vertex);
    return await this.#attempts.attempt(vertex, async (context) => {
      this.#log.started(vertex);
      await this.#options.onMiss?.(this.#missOf(vertex, cacheMap, found));
      const inputs = await this.#loadInputs(vertex, found, context);
      const keys = inputs.map(saved);
      // Its keys lead to what was made from other bytes, and so do those of all that stands on it.
      const hides = vertex.options.ignoreCache === true || inputs.some(isHidden);
      const given = inputs.map(({ result }) => result);
      const results = await this.#options.runner.run(vertex, given, context);
      // Saved before anything else can fail, also when the solve has been stopped meanwhile.
      const resolved = results.map((result, output): Resolved => {
        const edge = keyedEdge(vertex, cacheMap, output, keys);
        const savedKeyIDs = saveResult(this.#options.cacheStore, edge, result);
        return { result, isRecord: false, keyIDs: hides ? [] : savedKeyIDs, savedKeyIDs };
      });
      this.#log.completed(vertex);
      return resolved;
    });
  }

  #missOf(vertex: Vertex, cacheMap: CacheMap, inputs: readonly (Resolved & ResolvedInput)[]): Miss {
    const missInputs = vertex.inputs.flatMap((edge, index): readonly MissInput[] => {
      const input = inputs[index];
      const made = this.#vertexOf(edge);
      return input === undefined
        ? []
        : [{ vertex: made, result: input.result, content: input.content, hasRun: this.#runs.has(made.digest) }];
    });
    return { vertex, cacheMap, inputs: missInputs };
  }

  #resolveInputs(vertex: Vertex): Promise<readonly (Resolved & ResolvedInput)[]> {
    return Promise.all(vertex.inputs.map((input, index) => this.#resolveInput(vertex, input, index)));
  }

  /** The content first: to learn it, the result may have had to be made anew. */
  async #resolveInput(vertex: Vertex, input: Edge, index: number): Promise<Resolved & ResolvedInput> {
    const content = await this.#content(vertex, index);
    return { ...(await this.#resolve(input)), content };
  }

  /** One after the other: they share layers. */
  async #loadInputs(
    vertex: Vertex,
    inputs: readonly ResolvedInput[],
    context: RunContext,
  ): Promise<readonly (Resolved & ResolvedInput)[]> {
    const loaded: (Resolved & ResolvedInput)[] = [];
    for (const [index, input] of vertex.inputs.entries())
      loaded.push({ ...(await this.#resolveLoaded(vertex, input, context)), content: inputs[index]?.content });
    return loaded;
  }

  /** With what the reader reads of it here. A record's result whose bytes cannot be had is looked for again, or made anew. */
  async #resolveLoaded(reader: Vertex, edge: Edge, context: RunContext): Promise<Resolved> {
    for (;;) {
      const resolving = this.#resolve(edge);
      const resolved = await resolving;
      if (await this.#options.runner.load({ ...resolved, reader }, context)) return resolved;
      this.#resolved.forget(nameOf(edge), resolving);
    }
  }

  /** The digest of the input's selected content; undefined when it counts by definition only. */
  #content(vertex: Vertex, index: number): Promise<Digest | undefined> {
    const name = readerName({ vertex, index });
    return this.#contents.once(name, async () => {
      const cacheMap = await this.#cacheMap(vertex);
      const selectors = cacheMap.inputs[index]?.contentSelectors;
      const input = vertex.inputs[index];
      if (selectors === undefined || input === undefined) return undefined;
      await this.#resolve(input);
      const earlier = this.#earlierReaders.get(name);
      if (earlier !== undefined) await this.#content(earlier.vertex, earlier.index);
      return await this.#attempts.attempt(vertex, async (context) => {
        const { result } = await this.#resolveLoaded(vertex, input, context);
        return await this.#options.runner.contentDigest(this.#vertexOf(input), result, selectors, context);
      });
    });
  }

  #cacheMap(vertex: Vertex): Promise<CacheMap> {
    return this.#cacheMaps.once(vertex.digest, () =>
      this.#attempts.attempt(vertex, (context) => this.#options.runner.cacheMap(vertex, context)),
    );
  }

  /**
   * Tells that the edge was cached and, before it, the edges below that nothing was told about. One below that is known
   * but has no record may still have to run for another branch: it is told about when the solve ends.
   */
  #tellCached(edge: Edge, resultID: string | undefined): void {
    const vertex = this.#vertexOf(edge);
    if (this.#log.has(vertex)) return;
    for (const input of vertex.inputs) {
      const [record] = this.#recordsOf(input);
      if (record !== undefined) this.#tellCached(input, record.resultID);
    }
    this.#log.cached(vertex, edge.index === 0 ? resultID : undefined);
  }

  #newestResult(edge: Edge): string | undefined {
    return this.#recordsOf(edge)[0]?.resultID;
  }

  #recordsOf(edge: Edge): readonly CacheRecord[] {
    return findRecords(this.#options.cacheStore, this.#found.get(nameOf(edge)) ?? []);
  }

  /** Of equal vertices, the one the definition kept. */
  #vertexOf(edge: Edge): Vertex {
    return this.#vertices.get(edge.vertex.digest) ?? edge.vertex;
  }
}

function nameOf(edge: Edge): string {
  return `${edge.vertex.digest} ${edge.index}`;
}
