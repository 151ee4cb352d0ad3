// What is known of each step so far, from the events of a solve; every printer reads this table.
import type { Digest } from '../../solver/digest.ts';
import { unreachable } from '../../solver/errors.ts';
import type { SolveEvent } from '../../solver/progress.ts';

/** How far a step is; all but `running` are final. */
export type StepState = 'running' | 'cached' | 'done' | 'failed' | 'canceled';

interface Transfer {
  readonly id: string;
  readonly current: number;
  readonly total: number | undefined;
  readonly unit: 'bytes' | 'files' | 'none';
  readonly done: boolean;
  readonly startedMs: number;
  readonly timeMs: number;
}

/** One step; `number` is the `#5` of plain output, given in order of appearance. */
export interface Step {
  readonly number: number;
  readonly vertex: Digest;
  readonly name: string;
  state: StepState;
  startedMs: number;
  endedMs: number | undefined;
  message: string | undefined;
  /** Why it ran. */
  reason: string | undefined;
  readonly transfers: Map<string, Transfer>;
}

interface StepTable {
  readonly steps: ReadonlyMap<Digest, Step>;
  /** Takes the event in and returns the step it belongs to; undefined for a step never started. */
  apply(event: SolveEvent): Step | undefined;
}

/** An empty table; one per build. */
export function createStepTable(): StepTable {
  const steps = new Map<Digest, Step>();
  return {
    steps,
    apply(event) {
      const step = steps.get(event.vertex) ?? openStep(steps, event);
      // What a build context is read for later steps is told after it was opened; its line is written by then.
      if (step === undefined || (event.type === 'progress' && step.state !== 'running')) return undefined;
      update(step, event);
      return step;
    },
  };
}

function openStep(steps: Map<Digest, Step>, event: SolveEvent): Step | undefined {
  if (event.type !== 'started' && event.type !== 'cached') return undefined;
  const step: Step = {
    number: steps.size + 1,
    vertex: event.vertex,
    name: event.name,
    state: 'running',
    startedMs: event.timeMs,
    endedMs: undefined,
    message: undefined,
    reason: undefined,
    transfers: new Map(),
  };
  steps.set(event.vertex, step);
  return step;
}

function update(step: Step, event: SolveEvent): void {
  switch (event.type) {
    case 'started':
      step.state = 'running';
      step.startedMs = event.timeMs;
      return;
    case 'cached':
      return end(step, 'cached', event.timeMs);
    case 'completed':
      return end(step, 'done', event.timeMs);
    case 'canceled':
      return end(step, 'canceled', event.timeMs);
    case 'failed':
      step.message = event.message;
      return end(step, 'failed', event.timeMs);
    case 'progress': {
      const { id, current, total, unit, done, timeMs } = event;
      const startedMs = step.transfers.get(id)?.startedMs ?? timeMs;
      step.transfers.set(id, { id, current, total, unit, done, startedMs, timeMs });
      return;
    }
    case 'reason':
      step.reason = event.message;
      return;
    case 'log':
    case 'warning':
      return;
    default:
      return unreachable(event);
  }
}

function end(step: Step, state: StepState, timeMs: number): void {
  step.state = state;
  step.endedMs = timeMs;
}

/** Seconds as BuildKit prints them: `0.4s`, `12.3s`. */
export function formatSeconds(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(1)}s`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Bytes with decimal units as BuildKit prints them: `355B`, `1.21MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const text = unit === 0 ? String(value) : value.toFixed(value < 100 ? 2 : 1).replace(/\.?0+$/, '');
  return `${text}${UNITS[unit]}`;
}

/** `transferring context: 2B done`, `sha256:… 1.05MB / 3.2MB 0.4s`. */
export function formatTransfer(transfer: Transfer): string {
  const amount = formatAmount(transfer);
  const time =
    transfer.timeMs - transfer.startedMs >= 50 ? ` ${formatSeconds(transfer.timeMs - transfer.startedMs)}` : '';
  const separator = transfer.unit === 'none' || transfer.total !== undefined ? ' ' : ': ';
  return `${transfer.id}${amount === '' ? '' : separator}${amount}${time}${transfer.done ? ' done' : ''}`;
}

function formatAmount({ unit, current, total }: Transfer): string {
  switch (unit) {
    case 'none':
      return '';
    case 'files':
      return total === undefined ? `${current} files` : `${current} / ${total} files`;
    case 'bytes':
      return total === undefined ? formatBytes(current) : `${formatBytes(current)} / ${formatBytes(total)}`;
    default:
      return unreachable(unit);
  }
}
