// Keeps what running steps write, so that the error report can repeat a failing step's output. In memory is the end of
// it, with the time of every piece; what came before is read from the step's log file when it is wanted.
import { StringDecoder } from 'node:string_decoder';
import type { Digest } from '../../solver/digest.ts';
import type { SolveEvent } from '../../solver/progress.ts';

/** What the report prints of a step; `omitted` says what is not among the lines, and where it is. */
export interface StepOutput {
  readonly name: string;
  readonly lines: readonly string[];
  readonly omitted: string | undefined;
}

/** The step's log file. */
export interface StepLog {
  readonly path: string;
  /** Bytes from `start` up to `end`; fewer when the file is shorter. */
  read(start: number, end: number): Uint8Array;
}

interface WantedOutput {
  /** At most so many bytes of the end. */
  readonly maxBytes: number;
  readonly log: StepLog | undefined;
}

/** Bytes kept in memory for each running step. */
export const KEPT_BYTES: number = 256 * 1024;
/** Of its end repeated at most, where nothing of it was shown before. */
export const MAX_REPORTED_BYTES: number = 16 * 1024 * 1024;

/** `of` gives the output of a step that has failed or still runs; undefined for one that is done, or never began. */
export interface LogTail {
  record(event: SolveEvent): void;
  of(vertex: Digest, wanted: WantedOutput): StepOutput | undefined;
}

interface Step {
  readonly name: string;
  readonly startedMs: number;
  /** Of every piece ever written. */
  readonly timesMs: number[];
  readonly sizes: number[];
  /** The last pieces. */
  readonly kept: Uint8Array[];
  keptBytes: number;
  totalBytes: number;
}

/** A recorder of the output of each step that has not completed. */
export function createLogTail(): LogTail {
  const steps = new Map<Digest, Step>();
  return {
    record(event) {
      const step = steps.get(event.vertex);
      if (event.type === 'started') steps.set(event.vertex, newStep(event.name, event.timeMs));
      else if (event.type === 'completed' || event.type === 'cached') steps.delete(event.vertex);
      else if (event.type === 'log' && step) add(step, event.bytes, event.timeMs);
    },
    of(vertex, wanted) {
      const step = steps.get(vertex);
      return step === undefined ? undefined : outputOf(step, wanted);
    },
  };
}

function newStep(name: string, startedMs: number): Step {
  return { name, startedMs, timesMs: [], sizes: [], kept: [], keptBytes: 0, totalBytes: 0 };
}

function add(step: Step, bytes: Uint8Array, timeMs: number): void {
  step.timesMs.push(timeMs);
  step.sizes.push(bytes.length);
  step.kept.push(bytes);
  step.keptBytes += bytes.length;
  step.totalBytes += bytes.length;
  while (step.keptBytes > KEPT_BYTES && step.kept.length > 1) step.keptBytes -= step.kept.shift()?.length ?? 0;
}

function outputOf(step: Step, { maxBytes, log }: WantedOutput): StepOutput {
  const keptFrom = step.totalBytes - step.keptBytes;
  const wantedFrom = Math.min(keptFrom, Math.max(0, step.totalBytes - maxBytes));
  const earlier = keptFrom > wantedFrom ? log?.read(wantedFrom, keptFrom) : undefined;
  // A log file on a full disk is shorter than the output was.
  const isWhole = earlier?.length === keptFrom - wantedFrom;
  const from = isWhole ? wantedFrom : keptFrom;
  const bytes = Buffer.concat([...(isWhole && earlier !== undefined ? [earlier] : []), ...step.kept]);
  const omitted = from === 0 ? undefined : `… ${from} bytes before this: ${log?.path ?? 'not kept'}`;
  return { name: step.name, lines: toLines(step, bytes, from), omitted };
}

/** The lines of the bytes, which begin at `from` in the output, each with the time of its first byte. */
function toLines({ sizes, timesMs, startedMs }: Step, bytes: Buffer, from: number): string[] {
  const lines: string[] = [];
  const decoder = new StringDecoder('utf8');
  let open = '';
  let openMs = startedMs;
  let at = 0;
  for (const [index, size] of sizes.entries()) {
    const timeMs = timesMs[index] ?? startedMs;
    const piece = bytes.subarray(Math.max(0, at - from), Math.max(0, at + size - from));
    at += size;
    if (piece.length === 0) continue;
    if (open === '') openMs = timeMs;
    const [first = '', ...more] = decoder.write(piece).split('\n');
    const parts = [open + first, ...more];
    open = parts.pop() ?? '';
    for (const part of parts) {
      lines.push(stamped(part.replace(/\r$/, ''), openMs - startedMs));
      openMs = timeMs;
    }
  }
  if (open !== '') lines.push(stamped(open, openMs - startedMs));
  return lines;
}

function stamped(text: string, afterMs: number): string {
  return `${(afterMs / 1000).toFixed(3)} ${text}`.trimEnd();
}
