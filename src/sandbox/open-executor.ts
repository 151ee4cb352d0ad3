// Chooses the executor: the built-in one, or the OCI runtime that the user names.
import { EmbeddedExecutor } from './embedded-executor.ts';
import type { Executor, ExitStatus, RunIO, RunSpec } from './executor.ts';

export interface OpenExecutorOptions {
  /** A directory of the executor's own: holds a few empty directories, no file. */
  readonly stateDir: string;
  /** Name or path of an OCI runtime; undefined or empty: none. */
  readonly runtime: string | undefined;
}

/** The caller closes it. */
export function openExecutor({ stateDir, runtime }: OpenExecutorOptions): Executor {
  return runtime ? new LateRuntimeExecutor(stateDir, runtime) : new EmbeddedExecutor({ stateDir });
}

/** Loads what is needed for a runtime when a step is run. */
class LateRuntimeExecutor implements Executor {
  readonly #stateDir: string;
  readonly #runtime: string;
  #executor: Promise<Executor> | undefined;

  constructor(stateDir: string, runtime: string) {
    this.#stateDir = stateDir;
    this.#runtime = runtime;
  }

  async run(spec: RunSpec, io: RunIO): Promise<ExitStatus> {
    this.#executor ??= import('./runtime-executor.ts').then(
      ({ OCIRuntimeExecutor }) => new OCIRuntimeExecutor({ stateDir: this.#stateDir, runtime: this.#runtime }),
    );
    return await (await this.#executor).run(spec, io);
  }

  async close(): Promise<void> {
    await (await this.#executor)?.close();
  }
}
