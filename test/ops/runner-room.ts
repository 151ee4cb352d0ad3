// The op runner over a real store and the real sandbox, asked by the real solver.
import { chmodSync, copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPatternMatcher } from '../../frontend/dockerignore.ts';
import { createDefinition } from '../../solver/definition.ts';
import type { CopyAction, ExecMount, ExecOp, Op } from '../../solver/op.ts';
import type { Result } from '../../solver/op-runner.ts';
import type { SolveEvent } from '../../solver/progress.ts';
import { solve } from '../../solver/solve.ts';
import type { Edge, VertexOptions } from '../../solver/vertex.ts';
import { createVertex } from '../../solver/vertex-factory.ts';
import { ContextTree } from '../../src/ops/build-context.ts';
import type { AgentSource, SecretSource } from '../../src/ops/exec-mounts.ts';
import type { FailedStep } from '../../src/ops/exec-run.ts';
import { StoreOpRunner } from '../../src/ops/op-runner.ts';
import { openRemoteSources } from '../../src/remote/open-remote-sources.ts';
import { EmbeddedExecutor } from '../../src/sandbox/embedded-executor.ts';
import { COPY, CopyRoom } from './copy-room.ts';

export const BUSYBOX = '/bin/busybox';

/** Call `end` after the test. */
export class RunnerRoom extends CopyRoom {
  readonly events: SolveEvent[] = [];
  readonly failures: FailedStep[] = [];
  readonly secrets = new Map<string, string>();
  /** Sockets of ssh agents by id. */
  readonly agentSockets = new Map<string, string>();
  readonly #executor: EmbeddedExecutor;
  readonly #agents: AgentSource = { directory: tmpdir(), socketOf: async (id) => this.agentSockets.get(id) };

  readonly #secretSource: SecretSource = {
    read: async (id) => {
      const value = this.secrets.get(id);
      return value === undefined ? undefined : Buffer.from(value);
    },
  };

  constructor() {
    super();
    const stateDir = join(this.base, 'sandbox');
    mkdirSync(stateDir);
    this.#executor = new EmbeddedExecutor({ stateDir });
    mkdirSync(join(this.context, 'bin'));
    copyFileSync(BUSYBOX, join(this.context, 'bin/sh'));
    chmodSync(join(this.context, 'bin/sh'), 0o755);
  }

  async end(): Promise<void> {
    await this.#executor.close();
    this.close();
  }

  local(): Edge {
    return edge({ kind: 'source', identifier: 'local://context', attrs: {} }, []);
  }

  /** A root filesystem with a shell at /bin/sh. */
  rootfs(): Edge {
    const copy: CopyAction = { ...COPY, input: -1, secondaryInput: 0, src: '/bin/sh', dest: '/bin/sh' };
    return edge({ kind: 'file', actions: [copy] }, [this.local()]);
  }

  copied(base: Edge, src: string, dest: string): Edge {
    return edge({ kind: 'file', actions: [{ ...COPY, src, dest }] }, [base, this.local()], {
      name: `COPY ${src} ${dest}`,
    });
  }

  ran(
    base: Edge,
    script: string,
    options: {
      mounts?: readonly ExecMount[];
      inputs?: readonly Edge[];
      op?: Partial<ExecOp>;
      ignoreCache?: boolean;
    } = {},
  ): Edge {
    const mounts = [{ input: 0, dest: '/', output: 0, type: 'bind' } as const, ...(options.mounts ?? [])];
    const meta = { args: ['/bin/sh', '-c', script], env: ['PATH=/bin'], cwd: '/' };
    const op: Op = { kind: 'exec', meta, mounts, network: 'none', security: 'sandbox', ...options.op };
    return edge(op, [base, ...(options.inputs ?? [])], {
      name: `RUN ${script}`,
      ignoreCache: options.ignoreCache === true,
    });
  }

  /** What a new process with the same store does. */
  async solve(head: Edge, options: { readonly ignore?: readonly string[] } = {}): Promise<Result> {
    const runner = this.runner(options.ignore);
    this.events.length = 0;
    try {
      const result = await solve(createDefinition(head), {
        runner,
        cacheStore: this.store.cacheStore,
        signal: new AbortController().signal,
        emit: (event) => this.events.push(event),
        now: Date.now,
      });
      return result ?? { id: undefined };
    } finally {
      runner.flush();
    }
  }

  runner(ignore: readonly string[] = []): StoreOpRunner {
    const tree = new ContextTree(this.context, { ignore: createPatternMatcher(ignore) });
    const refuse = (): never => {
      throw new Error('no images here');
    };
    return new StoreOpRunner({
      snapshotter: this.store.snapshotter,
      isRootless: false,
      openContext: (name) => (name === 'context' ? tree : undefined),
      statCache: this.store.statCache,
      now: Date.now,
      executor: this.#executor,
      images: { cacheDigests: refuse, pull: refuse },
      agents: this.#agents,
      remoteSourceOf: openRemoteSources({
        store: this.store,
        secrets: this.#secretSource,
        agents: this.#agents,
        env: {},
        now: Date.now,
      }),
      secrets: this.#secretSource,
      storeRoot: this.store.root,
      defaultPlatform: { os: 'linux', architecture: 'amd64' },
      execConcurrency: 8,
      logPathOf: (vertex) => join(this.base, 'runs', `${vertex.digest}.log`),
      outputRoom: () => undefined,
      onFailure: (failure) => this.failures.push(failure),
    });
  }

  /** Names of the steps that were run, not found. */
  ranSteps(): readonly string[] {
    return this.events.flatMap((event) => (event.type === 'started' ? [event.name] : []));
  }

  output(): string {
    return this.events.map((event) => (event.type === 'log' ? Buffer.from(event.bytes).toString() : '')).join('');
  }

  log(failure: FailedStep | undefined): string {
    return readFileSync(failure?.logPath ?? '', 'utf8');
  }
}

function edge(op: Op, inputs: readonly Edge[], options: Partial<VertexOptions> = {}): Edge {
  return { vertex: createVertex(op, inputs, { name: op.kind, ...options }), index: 0 };
}
