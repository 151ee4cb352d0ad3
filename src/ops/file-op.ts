// Runs a file op (COPY, ADD, WORKDIR, heredocs): its actions in order, written into active snapshots without any mount.
//
// Actions form a graph: each writes onto an input of the op, onto what an earlier action made, or onto nothing. An action
// that writes onto an earlier one's result goes on in the same snapshot when nobody else needs that result.
import { type Digest, digestOf } from '../../solver/digest.ts';
import { unreachable } from '../../solver/errors.ts';
import type { Chown, FileAction, FileOp } from '../../solver/op.ts';
import type { Result } from '../../solver/op-runner.ts';
import type { FileTree } from '../snapshot/file-tree.ts';
import type { ActiveSnapshot, Snapshotter } from '../snapshot/snapshotter.ts';
import { UpperWriter } from '../snapshot/upper-writer.ts';
import type { FileOwner } from '../sys/recorded-owner.ts';
import { type CopyRequest, copyInto } from './copy.ts';
import { makeDirectory, makeFile, removePath } from './file-actions.ts';
import type { FileWriter } from './file-writer.ts';
import { resolveOwner } from './owner.ts';
import { SnapshotReuse } from './reuse.ts';
import type { SourceDigests } from './source-digests.ts';
import { unpackArchive } from './unpack.ts';

/** What file ops take from the build; shared by all of them. */
export interface FileOpPorts {
  readonly snapshotter: Snapshotter;
  /** True when overlays are mounted with `userxattr`. */
  readonly isRootless: boolean;
  readonly files: FileWriter;
  /** The tree behind a result; the empty tree's for an id of undefined. */
  readonly sourceOf: (result: Result) => SourceDigests;
}

/** One op with its inputs, in the op's order. */
export interface FileOpRequest {
  readonly op: FileOp;
  readonly inputs: readonly Result[];
  readonly signal: AbortSignal;
  /** Told what could not be unpacked, a sentence each. */
  readonly warn?: (message: string) => void;
  /** A name under which the output's snapshot can be found again; for an op with one output. */
  readonly chainID?: string;
  /** Where to look for an earlier result of the same copy; absent when it is not worth it. */
  readonly reuse?: {
    /** Directory of the pointer files. */
    readonly directory: string;
    /** The op's digest for caching, with what tells its sources apart from those of other builds. */
    readonly identity: Digest;
  };
}

/** Runs the op; one committed result for each output. Nothing is left when it throws. */
export async function runFileOp(ports: FileOpPorts, request: FileOpRequest): Promise<readonly Result[]> {
  const run = new FileOpRun(ports, request);
  try {
    return await run.run();
  } finally {
    run.discardOpen();
  }
}

/** What an action has written; committed once somebody else needs it. */
interface ActionState {
  readonly active: ActiveSnapshot;
  readonly writer: UpperWriter;
  readonly reuse: SnapshotReuse | undefined;
  result: Result | undefined;
}

const EMPTY: Result = { id: undefined };

class FileOpRun {
  readonly #ports: FileOpPorts;
  readonly #request: FileOpRequest;
  /** One for each action done so far. */
  readonly #states: ActionState[] = [];
  #isUnpacked = false;

  constructor(ports: FileOpPorts, request: FileOpRequest) {
    this.#ports = ports;
    this.#request = request;
  }

  async run(): Promise<readonly Result[]> {
    const outputs: Result[] = [];
    for (const [index, action] of this.#request.op.actions.entries()) {
      this.#request.signal.throwIfAborted();
      const owner = resolveOwner('owner' in action ? action.owner : undefined, (input) => this.#treeOf(input));
      const state = this.#open(index, action, owner);
      this.#states.push(state);
      await this.#act(action, state, owner);
      if (action.output >= 0) outputs[action.output] = this.#commit(state, this.#request.chainID);
    }
    return outputs;
  }

  discardOpen(): void {
    for (const state of new Set(this.#states.map(({ active }) => active))) {
      const isCommitted = this.#states.some(({ active, result }) => active === state && result !== undefined);
      if (!isCommitted) this.#ports.snapshotter.discard(state);
    }
  }

  async #act(action: FileAction, state: ActionState, owner: FileOwner | undefined): Promise<void> {
    switch (action.action) {
      case 'copy':
        return await copyInto(this.#target(state), this.#copyRequest(action, state, owner));
      case 'mkdir':
        return makeDirectory(state.writer, action, owner);
      case 'mkfile':
        return makeFile(state.writer, action, owner);
      case 'rm':
        return removePath(state.writer, action);
      default:
        return unreachable(action);
    }
  }

  #target({ writer, active }: ActionState): Parameters<typeof copyInto>[0] {
    return { writer, upperDir: active.upperDir, files: this.#ports.files, signal: this.#request.signal };
  }

  #copyRequest(action: CopyRequest['action'], state: ActionState, owner: FileOwner | undefined): CopyRequest {
    const source = this.#ports.sourceOf(this.#resultOf(action.secondaryInput));
    return {
      action,
      source,
      unpack: async (node, directory) => {
        const { isRootless } = this.#ports;
        const { signal, warn } = this.#request;
        const { writer } = state;
        const target = { writer, directory, owner, isRootless, signal, ...(warn && { warn }) };
        const isArchive = await unpackArchive(node, target);
        if (isArchive) this.#isUnpacked = true;
        return isArchive;
      },
      ...(owner && { owner }),
      ...(state.reuse && { reuse: state.reuse }),
    };
  }

  /** The snapshot the action writes into. */
  #open(index: number, action: FileAction, owner: FileOwner | undefined): ActionState {
    const { inputs } = this.#request;
    const earlier = this.#states[action.input - inputs.length];
    if (earlier !== undefined && earlier.result === undefined && this.#isOnlyUse(index, action.input))
      return { ...earlier };
    const parent = this.#resultOf(action.input);
    const active = this.#ports.snapshotter.prepare(parent.id);
    const { upperDir, lowerDirs } = active;
    const writer = new UpperWriter({ upperDir, lowerDirs, isRootless: this.#ports.isRootless });
    return { active, writer, reuse: this.#reuseFor(active, owner), result: undefined };
  }

  #isOnlyUse(index: number, input: number): boolean {
    const { op, inputs } = this.#request;
    const made = op.actions[input - inputs.length];
    if (made === undefined || made.output >= 0) return false;
    return op.actions.every((other, at) => at === index || !usesOf(other).includes(input));
  }

  /** Only plain copies that all end in one snapshot can be told apart by a manifest. */
  #reuseFor(active: ActiveSnapshot, owner: FileOwner | undefined): SnapshotReuse | undefined {
    const { op, reuse } = this.#request;
    if (reuse === undefined || this.#states.length > 0) return undefined;
    if (!op.actions.every(({ action }) => action === 'copy')) return undefined;
    const identity = digestOf(`${reuse.identity} ${owner?.uid ?? ''} ${owner?.gid ?? ''}`);
    return new SnapshotReuse({ directory: reuse.directory, identity, upperDir: active.upperDir });
  }

  #commit(state: ActionState, chainID?: string): Result {
    if (state.result !== undefined) return state.result;
    state.writer.finish();
    if (!this.#isUnpacked) state.reuse?.save();
    state.result = { id: this.#ports.snapshotter.commit(state.active, chainID === undefined ? {} : { chainID }) };
    return state.result;
  }

  #resultOf(index: number): Result {
    const { inputs } = this.#request;
    if (index < 0) return EMPTY;
    const input = inputs[index];
    if (input !== undefined) return input;
    const state = this.#states[index - inputs.length];
    if (state === undefined) throw new Error(`internal error: file action uses index ${index} before it is made`);
    return this.#commit(state);
  }

  #treeOf(index: number): FileTree {
    return this.#ports.sourceOf(this.#resultOf(index)).tree;
  }
}

function usesOf(action: FileAction): readonly number[] {
  const owner: Chown | undefined = 'owner' in action ? action.owner : undefined;
  const names = [owner?.user, owner?.group].flatMap((user) =>
    user !== undefined && 'name' in user ? [user.input] : [],
  );
  return [action.input, action.secondaryInput, ...names];
}
