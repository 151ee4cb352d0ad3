// Steps that are no vertex of the graph, such as loading the Dockerfile, shown as if they were.
import { type Digest, digestOf } from '../../solver/digest.ts';
import type { EmitEvent } from '../../solver/progress.ts';
import { nowMs } from '../sys/clock.ts';

/** Reports a transfer or an action inside a step. */
export type ReportProgress = (id: string, bytes?: number, total?: number, done?: boolean) => void;

/** The digest under which such a step's events go. */
export function stepDigest(name: string): Digest {
  return digestOf(`step:${name}`);
}

/** Runs the work as a step of that name; a failure is shown and passed on. */
export async function reportStep<T>(
  emit: EmitEvent,
  name: string,
  work: (report: ReportProgress) => T | Promise<T>,
): Promise<T> {
  const vertex = stepDigest(name);
  emit({ type: 'started', vertex, name, timeMs: nowMs() });
  try {
    const result = await work((id, bytes, total, done = true) =>
      emit({
        type: 'progress',
        vertex,
        timeMs: nowMs(),
        id,
        current: bytes ?? 0,
        unit: bytes === undefined ? 'none' : 'bytes',
        done,
        ...(total === undefined ? {} : { total }),
      }),
    );
    emit({ type: 'completed', vertex, timeMs: nowMs() });
    return result;
  } catch (error) {
    emit({ type: 'failed', vertex, timeMs: nowMs(), message: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}
