// The OpRunner over the store and the sandbox: what each kind of op is worth to the cache, and what running it means.
//
// Leaf work is bounded here: processes by the executor's slots, copying and hashing by queues of their own. Nothing waits
// for an input while it holds a place: the solver hands inputs over only when they are there.
import { join } from 'node:path';
import PQueue from 'p-queue';
import { cacheMapOf } from '../../solver/cache-map.ts';
import { type Digest, digestOf } from '../../solver/digest.ts';
import { TsbuildError, unreachable } from '../../solver/errors.ts';
import type { FileOp, Platform, SourceOp } from '../../solver/op.ts';
import type { CacheMap, ContentSelector, OpRunner, Result, RunContext } from '../../solver/op-runner.ts';
import { singleCopy } from '../../solver/single-copy.ts';
import { IMAGE_SCHEME, LAYOUT_SCHEME, LOCAL_SCHEME } from '../../solver/source-schemes.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { Executor } from '../sandbox/executor.ts';
import type { SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import { fullDiskError } from '../store/store-errors.ts';
import { inTurns } from '../sys/turns.ts';
import { ContextTree } from './build-context.ts';
import { CacheMounts, type RestoreMount } from './cache-mounts.ts';
import { contentDigestOf, EMPTY_DIGEST } from './content-hash.ts';
import type { AgentSource, SecretSource } from './exec-mounts.ts';
import type { ExecPorts, FailedStep } from './exec-run.ts';
import type { FileOpRequest } from './file-op.ts';
import { FileWriter } from './file-writer.ts';
import type { ImageSources } from './image-sources.ts';
import { explainMissing } from './missing-source.ts';
import type { RemoteSource, RemoteSourceOf } from './remote-sources.ts';
import { contextNameOf, contextResult, type ResultTreePorts, ResultTrees } from './result-trees.ts';
import type { SourceDigests } from './source-digests.ts';
import { mergeStacks, subtractStack } from './stack-ops.ts';

interface StoreOpRunnerPorts extends ResultTreePorts {
  readonly snapshotter: Snapshotter;
  readonly executor: Pick<Executor, 'run'>;
  readonly images: ImageSources;
  readonly remoteSourceOf: RemoteSourceOf;
  readonly secrets: SecretSource;
  readonly agents: AgentSource;
  /** The store's root: mounts/, locks/ and reuse/ below it are used. */
  readonly storeRoot: string;
  /** Asked when a cache mount is not here; undefined when no imported cache has any. */
  readonly restoreMount?: () => RestoreMount | undefined;
  /** Stands in for an op without a platform. */
  readonly defaultPlatform: Platform;
  /** How many processes may run at once. */
  readonly execConcurrency: number;
  readonly logPathOf: (vertex: Vertex) => string;
  readonly onFailure: (failure: FailedStep) => void;
  readonly outputRoom: () => Promise<void> | undefined;
}

/** Copies wait for the disk, so two of them keep it busy. */
const FILE_CONCURRENCY = 2;

/** See the OpRunner port. One for each build; `flush` at its end. What runs ops is loaded when the first one runs. */
export class StoreOpRunner implements OpRunner {
  readonly #ports: StoreOpRunnerPorts;
  readonly #trees: ResultTrees;
  readonly #cacheMounts: CacheMounts;
  readonly #files = new FileWriter();
  readonly #execQueue: PQueue;
  readonly #fileQueue = new PQueue({ concurrency: FILE_CONCURRENCY });
  readonly #hashQueue = new PQueue({ concurrency: 1 });
  readonly #contextCopies = new Map<string, Promise<SnapshotName | undefined>>();

  constructor(ports: StoreOpRunnerPorts) {
    this.#ports = ports;
    this.#trees = new ResultTrees(ports);
    this.#cacheMounts = new CacheMounts(ports.storeRoot, ports.restoreMount);
    this.#execQueue = new PQueue({ concurrency: ports.execConcurrency });
  }

  async cacheMap(vertex: Vertex, context: RunContext): Promise<CacheMap> {
    const { op } = vertex;
    if (op.kind !== 'source') return cacheMapOf(op, vertex.inputs.length, this.#ports.defaultPlatform);
    if (op.identifier.startsWith(LOCAL_SCHEME)) return { digest: vertex.digest, inputs: [], isVolatile: true };
    if (!isImage(op)) return { digest: await (await this.#remoteOf(op)).cacheDigest(vertex, op, context), inputs: [] };
    const [digest, ...alternatives] = this.#ports.images.cacheDigests(op);
    return { digest, alternatives, inputs: [] };
  }

  async contentDigest(
    input: Vertex,
    result: Result,
    selectors: readonly ContentSelector[],
    context: RunContext,
  ): Promise<Digest> {
    const { signal } = context;
    try {
      return await this.#hashQueue.add(() => this.#digestOf(result, selectors, signal), { signal });
    } finally {
      if (contextNameOf(result) !== undefined) this.#tellRead(input, this.#trees.of(result).takeBytesRead(), context);
    }
  }

  async run(vertex: Vertex, inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    try {
      return await this.#run(vertex, inputs, context);
    } catch (error) {
      throw fullDiskError(this.#ports.storeRoot, error);
    }
  }

  async #run(vertex: Vertex, inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    const { op } = vertex;
    switch (op.kind) {
      case 'source':
        return [await this.#runSource(vertex, op, context)];
      case 'exec':
        return await (await import('./exec-run.ts')).runExecOp(this.#execPorts(context), {
          vertex,
          op,
          inputs,
          context,
        });
      case 'file':
        return await this.#runFile(vertex, op, inputs, context);
      case 'merge':
        return [mergeStacks(this.#ports.snapshotter, op, inputs)];
      case 'diff':
        return [subtractStack(this.#ports.snapshotter, op, inputs)];
      default:
        return unreachable(op);
    }
  }

  async isAvailable(result: Result): Promise<boolean> {
    if (result.id === undefined || contextNameOf(result) !== undefined) return true;
    return this.#ports.snapshotter.exists(result.id);
  }

  isAway(): boolean {
    return false;
  }

  async load(): Promise<boolean> {
    return true;
  }

  /** The source behind a result, for who compares it with an earlier one. Throws as `contentDigest` does. */
  sourceOf(result: Result): SourceDigests {
    return this.#trees.of(result);
  }

  /** Makes the digests of build contexts known to later builds; call once at the end, also after a failure. */
  flush(): void {
    this.#trees.flush();
  }

  async #digestOf(result: Result, selectors: readonly ContentSelector[], signal: AbortSignal): Promise<Digest> {
    if (result.id === undefined && selectors.every(isWholeTree)) return digestOf(EMPTY_DIGEST);
    const source = this.#trees.of(result);
    try {
      return await inTurns(contentDigestOf(source.tree, selectors, source.inSlices), signal);
    } catch (error) {
      throw explainMissing(error, source.tree);
    }
  }

  async #runSource(vertex: Vertex, op: SourceOp, context: RunContext): Promise<Result> {
    if (op.identifier.startsWith(LOCAL_SCHEME)) {
      const result = contextResult(op.identifier.slice(LOCAL_SCHEME.length));
      // So that a context that is not there fails as the step that loads it.
      this.#trees.of(result);
      return result;
    }
    if (!isImage(op)) return { id: await (await this.#remoteOf(op)).load(vertex, op, context) };
    return { id: await this.#ports.images.pull(vertex, op, context) };
  }

  async #remoteOf(op: SourceOp): Promise<RemoteSource> {
    const remote = await this.#ports.remoteSourceOf(op);
    if (remote !== undefined) return remote;
    throw new TsbuildError(
      'TSB_SOURCE_UNSUPPORTED',
      `cannot load "${op.identifier}": sources of this kind are not supported yet`,
    );
  }

  async #runFile(
    vertex: Vertex,
    op: FileOp,
    inputs: readonly Result[],
    { signal, emit }: RunContext,
  ): Promise<readonly Result[]> {
    const reuse = this.#reuseOf(op, vertex.inputs.length, inputs);
    const warn = (message: string): void => {
      emit({ type: 'warning', message, vertex: vertex.digest, timeMs: this.#ports.now() });
    };
    return await this.#copyFiles({ op, inputs, signal, warn, ...(reuse && { reuse }) });
  }

  async #copyFiles(request: FileOpRequest): Promise<readonly Result[]> {
    const ports = { ...this.#ports, files: this.#files, sourceOf: (result: Result) => this.#trees.of(result) };
    return await this.#fileQueue.add(
      async () => {
        try {
          return await (await import('./file-op.ts')).runFileOp(ports, request);
        } catch (error) {
          throw this.#explain(error, request);
        }
      },
      { signal: request.signal },
    );
  }

  #explain(error: unknown, { op, inputs }: FileOpRequest): unknown {
    const copy = op.actions.find((action) => action.action === 'copy');
    const source = copy === undefined ? undefined : inputs[copy.secondaryInput];
    return source === undefined ? error : explainMissing(error, this.#trees.of(source).tree);
  }

  /** Copies from a build context change little from build to build; all others are run once. */
  #reuseOf(op: FileOp, inputCount: number, inputs: readonly Result[]): FileOpRequest['reuse'] {
    const roots = op.actions.flatMap((action) => {
      const tree = action.action === 'copy' ? this.#contextOf(inputs[action.secondaryInput]) : undefined;
      return tree === undefined ? [] : [tree.root];
    });
    if (roots.length === 0) return undefined;
    const { digest } = cacheMapOf(op, inputCount, this.#ports.defaultPlatform);
    return this.#reuse([digest, ...roots]);
  }

  #reuse(parts: readonly string[]): NonNullable<FileOpRequest['reuse']> {
    return { directory: join(this.#ports.storeRoot, 'reuse'), identity: digestOf(parts.join('\0')) };
  }

  #contextOf(result: Result | undefined): ContextTree | undefined {
    if (result === undefined || contextNameOf(result) === undefined) return undefined;
    const { tree } = this.#trees.of(result);
    return tree instanceof ContextTree ? tree : undefined;
  }

  #execPorts({ signal: buildSignal }: RunContext): ExecPorts {
    return {
      ...this.#ports,
      cacheMounts: this.#cacheMounts,
      snapshotOf: (input, selector) => this.#snapshotOf(input, selector, buildSignal),
      // The queue's own signal would leave a process that has begun to itself, and its clean-up undone.
      inSlot: (work, signal) =>
        this.#execQueue.add(() => {
          signal.throwIfAborted();
          return work();
        }),
    };
  }

  /** A build context cannot be mounted as it is: it would show ignored files and this machine's owners. */
  async #snapshotOf(input: Result, selector: string, signal: AbortSignal): Promise<SnapshotName | undefined> {
    const context = this.#contextOf(input);
    if (context === undefined) return input.id;
    const key = `${input.id}\0${selector}`;
    const known = this.#contextCopies.get(key) ?? this.#copyContext(context, input, selector, signal);
    this.#contextCopies.set(key, known);
    return await known;
  }

  /** A copy of an earlier step or build will do when the content is the same. */
  async #copyContext(
    context: ContextTree,
    input: Result,
    selector: string,
    signal: AbortSignal,
  ): Promise<SnapshotName | undefined> {
    const wanted = [{ path: selector, wildcard: false, followLinks: true }];
    const content = await this.#hashQueue.add(() => this.#digestOf(input, wanted, signal), { signal });
    const chainID = `context-mount:${digestOf(selector)}:${content}`;
    const found = this.#ports.snapshotter.findByChainID(chainID);
    if (found !== undefined) return found;
    const how = { followSymlink: true, dirCopyContents: true, createDestPath: true };
    const op = singleCopy({ src: selector, dest: selector, ...how });
    const reuse = this.#reuse(['mount', selector, context.root]);
    const [copied] = await this.#copyFiles({ op, inputs: [input], signal, reuse, chainID });
    return copied?.id;
  }

  #tellRead(vertex: Vertex, bytes: number, { emit }: RunContext): void {
    const timeMs = this.#ports.now();
    emit({
      type: 'progress',
      id: 'transferring context',
      current: bytes,
      unit: 'bytes',
      done: true,
      vertex: vertex.digest,
      timeMs,
    });
  }
}

function isWholeTree({ path }: ContentSelector): boolean {
  return path === '/';
}

function isImage({ identifier }: SourceOp): boolean {
  return identifier.startsWith(IMAGE_SCHEME) || identifier.startsWith(LAYOUT_SCHEME);
}
