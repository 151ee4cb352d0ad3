// One build of toy vertices: what it gave, and what it told.
import { createDefinition } from '../../solver/definition.ts';
import { MemoryCacheStore } from '../../solver/memory-cache-store.ts';
import type { SolveEvent } from '../../solver/progress.ts';
import { solve } from '../../solver/solve.ts';
import type { Vertex } from '../../solver/vertex.ts';
import { FakeRunner } from './fake-runner.ts';

/** A cache store and an op runner that outlive a build, and what the last build told. */
export class Builds {
  #clock = 0;
  readonly runner = new FakeRunner();
  readonly store = new MemoryCacheStore(() => ++this.#clock);
  /** `type name` of each event of the last build, in order. */
  told: string[] = [];
  events: SolveEvent[] = [];
  readonly #awaited = new Map<string, () => void>();

  /** Resolves when the next build tells that. */
  whenTold(line: string): Promise<void> {
    return new Promise((resolve) => this.#awaited.set(line, resolve));
  }

  /** The result's number. */
  async build(vertex: Vertex, signal: AbortSignal = new AbortController().signal): Promise<string | undefined> {
    this.runner.forget();
    this.told = [];
    this.events = [];
    const definition = createDefinition({ vertex, index: 0 });
    const names = new Map(definition.vertices.map(({ digest, options }) => [digest, options.name]));
    const result = await solve(definition, {
      runner: this.runner,
      cacheStore: this.store,
      signal,
      emit: (event) => {
        this.events.push(event);
        const line = `${event.type} ${names.get(event.vertex)}`;
        this.told.push(line);
        this.#awaited.get(line)?.();
      },
      now: () => ++this.#clock,
    });
    return result?.id;
  }
}
