// Says in a build's progress which cache mounts went after it: the next build will have to fill them again.
import type { EmitEvent } from '../../solver/progress.ts';
import { formatAge } from '../cli/table.ts';
import { reportStep } from '../progress/report-step.ts';
import { formatBytes } from '../progress/step-table.ts';
import type { MeasuredMount } from './mounts.ts';

/** A step with a line for each mount. `nowMs` is UTC. */
export async function tellMounts(
  mounts: readonly MeasuredMount[],
  { emit, nowMs }: { readonly emit: EmitEvent; readonly nowMs: number },
): Promise<void> {
  await reportStep(emit, 'removing unused cache mounts', (report) => {
    for (const { id = '', sizeBytes, usedAtMs } of mounts)
      report(`cache mount ${id} (${formatBytes(sizeBytes)}, last used ${formatAge(nowMs - usedAtMs)})`);
  });
}
