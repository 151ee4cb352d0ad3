// The networks of steps. A step that is to have one of its own borrows a namespace with a helper; the next step takes the
// same again, so that a build starts as many helpers as it has steps at a time. Steps never share one: ports and
// abstract sockets of one are out of another's sight. What a step leaves in its namespace is at most a closed connection,
// since its processes have ended and it had no right to change the network; where it had, the namespace is not used again.
import { TsbuildError } from '../../solver/errors.ts';
import type { RunSpec } from './executor.ts';
import type { InitExecutable } from './init-process.ts';
import {
  findNetworkHelpers,
  HELPER_NAMESERVER,
  type HelpedNamespace,
  type NetworkHelper,
  startHelper,
} from './network-helper.ts';
import type { StepNamespace } from './step-mapping.ts';

/** The network a step gets, on this machine, for what it asked for. */
export type StepNetwork =
  | { readonly mode: 'host' | 'none'; readonly nameserver?: undefined }
  | {
      readonly mode: 'joined';
      readonly namespacePath: string;
      /** Answers for the host's resolver. */
      readonly nameserver: string;
      readonly helper: NetworkHelper;
    };

/** Is told what steps have instead of a network of their own. */
export type NetworkNote = (message: string) => void;

/** A network until it is disposed of. */
interface LentNetwork extends Disposable {
  readonly network: StepNetwork;
}

/** `isInsecure`: the step may change its network. */
type WantedNetwork = Pick<RunSpec, 'network' | 'isInsecure'>;

function lentAlways(mode: 'host' | 'none'): LentNetwork {
  return { network: { mode }, [Symbol.dispose]: () => {} };
}

/** The networks of one executor's steps; whoever makes it closes it. */
export class StepNetworks {
  readonly #note: NetworkNote;
  readonly #findHelpers: () => readonly NetworkHelper[];
  readonly #all = new Set<HelpedNamespace>();
  readonly #free: HelpedNamespace[] = [];
  #helper: Promise<NetworkHelper | undefined> | undefined;

  constructor(note: NetworkNote = () => {}, findHelpers = findNetworkHelpers) {
    this.#note = note;
    this.#findHelpers = findHelpers;
  }

  /**
   * `owner` is the same on each call. Where no helper works, a network that should be the step's own is the host's, and the note says so once. Throws
   * TSB_SANDBOX_NETWORK_FAILED when a helper that did work fails.
   */
  async lend(
    { network, isInsecure }: WantedNetwork,
    init: InitExecutable,
    signal: AbortSignal,
    owner?: StepNamespace,
  ): Promise<LentNetwork> {
    if (network !== 'sandbox') return lentAlways(network);
    const namespace = this.#takeFree() ?? (await this.#start(init, owner));
    if (namespace === undefined) return lentAlways('host');
    if (signal.aborted) this.#free.push(namespace);
    signal.throwIfAborted();
    return {
      network: {
        mode: 'joined',
        namespacePath: namespace.path,
        nameserver: HELPER_NAMESERVER,
        helper: namespace.helper,
      },
      [Symbol.dispose]: () => {
        if (isInsecure) {
          this.#all.delete(namespace);
          void namespace.end();
        } else this.#free.push(namespace);
      },
    };
  }

  /** Has all helpers end. The kernel takes some 30 ms to take their devices apart, which nobody need wait for. */
  close(): void {
    for (const namespace of this.#all) void namespace.end();
    this.#all.clear();
    this.#free.length = 0;
  }

  #takeFree(): HelpedNamespace | undefined {
    for (let next = this.#free.pop(); next !== undefined; next = this.#free.pop()) {
      if (!next.hasEnded()) return next;
      this.#all.delete(next);
    }
    return undefined;
  }

  async #start(init: InitExecutable, owner: StepNamespace | undefined): Promise<HelpedNamespace | undefined> {
    if (this.#helper === undefined) {
      const first = this.#startFirst(init, owner);
      this.#helper = first.then((found) => found?.helper);
      return await first;
    }
    const helper = await this.#helper;
    if (helper === undefined) return undefined;
    try {
      return this.#add(await startHelper(init, helper, owner));
    } catch (error) {
      throw new TsbuildError('TSB_SANDBOX_NETWORK_FAILED', `no network for the step: ${failureOf(helper, error)}`, {
        hint: 'give the steps the network of this machine with --network=host, or fewer of them at a time',
      });
    }
  }

  /** Tries the installed helpers one after the other. */
  async #startFirst(init: InitExecutable, owner: StepNamespace | undefined): Promise<HelpedNamespace | undefined> {
    const failures: string[] = [];
    for (const helper of this.#findHelpers()) {
      try {
        return this.#add(await startHelper(init, helper, owner));
      } catch (error) {
        failures.push(failureOf(helper, error));
      }
    }
    const [why, advice] =
      failures.length === 0
        ? ['neither pasta nor slirp4netns is installed', 'install passt or slirp4netns']
        : [failures.join(', '), 'tsbuild doctor says what to do'];
    this.#note(`${why}, so steps share this machine's network; ${advice}, or say --network=host`);
    return undefined;
  }

  #add(namespace: HelpedNamespace): HelpedNamespace {
    this.#all.add(namespace);
    return namespace;
  }
}

function failureOf({ name }: NetworkHelper, error: unknown): string {
  return `${name} failed (${error instanceof Error ? error.message : String(error)})`;
}
