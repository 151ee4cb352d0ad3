// Stages that need each other in a ring: by COPY --from, RUN --mount=from, or a named context that stands for a stage.
import { type SourceRange, TsbuildError } from '../solver/errors.ts';
import type { ErrorCollector } from './error-collector.ts';
import type { Stage } from './stages.ts';

/** A stage that another one needs, and where it says so. */
export interface StageUse {
  readonly stage: Stage;
  readonly range: SourceRange;
}

/** Reports the first ring that stages make; `uses` are those of each stage. */
export function checkCycles(
  stages: readonly Stage[],
  uses: readonly (readonly StageUse[])[],
  errors: ErrorCollector,
): void {
  const visited = new Set<number>();
  const visit = (stage: Stage, path: readonly Stage[]): { ring: readonly Stage[]; range: SourceRange } | undefined => {
    if (visited.has(stage.index)) return undefined;
    visited.add(stage.index);
    const trail = [...path, stage];
    for (const use of uses[stage.index] ?? []) {
      const start = trail.indexOf(use.stage);
      const found = start >= 0 ? { ring: trail.slice(start), range: use.range } : visit(use.stage, trail);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  for (const stage of stages) {
    const found = visit(stage, []);
    if (found === undefined) continue;
    errors.add(circular(stage, found.ring, found.range));
    return;
  }
}

function circular(stage: Stage, ring: readonly Stage[], range: SourceRange): TsbuildError {
  const names = ring.map(({ displayName, index }) => displayName || `${index}`);
  return new TsbuildError(
    'TSB_DOCKERFILE_STAGE_CIRCULAR',
    `circular dependency detected on stage: ${stage.displayName || 'stage-0'}`,
    { range, hint: `${[...names, names[0] ?? ''].join(' needs ')}` },
  );
}
