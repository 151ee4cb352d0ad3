// Keeps what failed steps wrote, so that the error report can repeat a failing step's output in full.
import { StringDecoder } from 'node:string_decoder';
import type { Digest } from '../../solver/digest.ts';
import type { SolveEvent } from '../../solver/progress.ts';

interface Chunk {
  readonly timeMs: number;
  readonly bytes: Uint8Array;
}

/** What the report prints of a step; `isClipped` when only the end is held in memory (the log file has all of it). */
export interface StepOutput {
  readonly name: string;
  readonly lines: readonly string[];
  readonly isClipped: boolean;
}

/** Bytes kept per running step; the whole output is in the step's log file. */
const KEPT_BYTES = 256 * 1024;

export interface LogTail {
  record(event: SolveEvent): void;
  of(vertex: Digest): StepOutput | undefined;
}

/** A recorder of the last output of each step that has not completed. */
export function createLogTail(): LogTail {
  const steps = new Map<
    Digest,
    { name: string; startedMs: number; chunks: Chunk[]; size: number; isClipped: boolean }
  >();
  return {
    record(event) {
      const step = steps.get(event.vertex);
      if (event.type === 'started') {
        steps.set(event.vertex, { name: event.name, startedMs: event.timeMs, chunks: [], size: 0, isClipped: false });
      } else if (event.type === 'completed' || event.type === 'cached') {
        steps.delete(event.vertex);
      } else if (event.type === 'log' && step) {
        step.chunks.push({ timeMs: event.timeMs, bytes: event.bytes });
        step.size += event.bytes.length;
        while (step.size > KEPT_BYTES && step.chunks.length > 1) {
          step.size -= step.chunks.shift()?.bytes.length ?? 0;
          step.isClipped = true;
        }
      }
    },
    of(vertex) {
      const step = steps.get(vertex);
      if (!step) return undefined;
      return { name: step.name, lines: toLines(step.chunks, step.startedMs), isClipped: step.isClipped };
    },
  };
}

function toLines(chunks: readonly Chunk[], startedMs: number): string[] {
  const lines: string[] = [];
  const decoder = new StringDecoder('utf8');
  let open = '';
  let openMs = startedMs;
  const stamp = (text: string, timeMs: number): string =>
    `${((timeMs - startedMs) / 1000).toFixed(3)} ${text}`.trimEnd();
  for (const { timeMs, bytes } of chunks) {
    if (open === '') openMs = timeMs;
    const parts = (open + decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))).split('\n');
    open = parts.pop() ?? '';
    for (const part of parts) lines.push(stamp(part.replace(/\r$/, ''), openMs));
    openMs = timeMs;
  }
  if (open !== '') lines.push(stamp(open, openMs));
  return lines;
}
