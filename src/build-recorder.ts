// Keeps what became of each step of one build, with the numbers that progress shows, for `tsbuild history` and `explain`.
import type { Digest } from '../solver/digest.ts';
import type { SourceRange } from '../solver/errors.ts';
import type { SolveEvent } from '../solver/progress.ts';
import type { Vertex } from '../solver/vertex.ts';
import { createStepTable, type Step, type StepState } from './progress/step-table.ts';
import type { StepRecord, StepStatus } from './store/builds.ts';

const STATUS: Readonly<Record<StepState, StepStatus>> = {
  running: 'interrupted',
  cached: 'cached',
  done: 'completed',
  failed: 'failed',
  canceled: 'canceled',
};

interface StepFacts {
  result?: string;
  /** JSON of why it ran. */
  reasons?: string;
  range?: SourceRange;
  logPath?: string;
  /** True when it is in the store as it is now. */
  isSaved?: boolean;
}

/** See above; it only remembers, the store is written by who asks for the records. */
export class BuildRecorder {
  readonly #table = createStepTable();
  readonly #facts = new Map<Digest, StepFacts>();

  record(event: SolveEvent): void {
    this.#table.apply(event);
    if (event.type === 'cached' && event.resultID !== undefined) this.note(event.vertex, { result: event.resultID });
  }

  note(vertex: Digest, facts: StepFacts): void {
    this.#facts.set(vertex, { ...this.#facts.get(vertex), ...facts });
  }

  /** The step's number; it has been started. */
  numberOf({ digest }: Vertex): number {
    return this.#table.steps.get(digest)?.number ?? 0;
  }

  startedAtMs({ digest }: Vertex): number | undefined {
    return this.#table.steps.get(digest)?.startedMs;
  }

  /** The record of one step. */
  stepOf(vertex: Digest): StepRecord | undefined {
    const step = this.#table.steps.get(vertex);
    return step === undefined ? undefined : this.#recordOf(step);
  }

  /** All steps that are not in the store yet. */
  unsaved(): readonly StepRecord[] {
    return [...this.#table.steps.values()]
      .filter(({ vertex }) => this.#facts.get(vertex)?.isSaved !== true)
      .map((step) => this.#recordOf(step));
  }

  #recordOf(step: Step): StepRecord {
    const { number, vertex, name, state, startedMs, endedMs, message } = step;
    const { isSaved: _, ...facts } = this.#facts.get(vertex) ?? {};
    return {
      number,
      vertex,
      name,
      startedAtMs: startedMs,
      ...(endedMs === undefined ? {} : { endedAtMs: endedMs }),
      status: STATUS[state],
      ...(message === undefined ? {} : { message }),
      ...facts,
    };
  }
}
