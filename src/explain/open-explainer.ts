// The explainer of one build, wired to its store, its progress and its record. Loaded when the first step runs.
import type { Miss } from '../../solver/miss.ts';
import type { Result } from '../../solver/op-runner.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { BuildRecorder } from '../build-recorder.ts';
import type { StoreOpRunner } from '../ops/op-runner.ts';
import type { Session } from '../session.ts';
import type { BaseText } from './base-text.ts';
import { Explainer, reasonsOrNone } from './explainer.ts';
import { listContent } from './list-content.ts';
import { summarizeReasons } from './reason.ts';

/** The build that is to be explained, while it runs. */
export interface OpenExplainerOptions {
  readonly session: Session;
  readonly recorder: BuildRecorder;
  readonly buildID: string;
  readonly vertices: readonly Vertex[];
  readonly isBuildArg: (name: string) => boolean;
  readonly fromOf: (vertex: Vertex) => BaseText | undefined;
  readonly runner: StoreOpRunner;
}

interface OpenedExplainer {
  readonly explain: (miss: Miss) => void;
  /** Keeps what the step was made of, for builds to come. */
  readonly onResult: (vertex: Vertex, result: Result) => void;
}

/** See OpenedExplainer. */
export function openExplainer({ session, recorder, runner, ...rest }: OpenExplainerOptions): OpenedExplainer {
  const { store, emit, now } = session;
  const explainer = new Explainer({
    ...rest,
    db: store.db,
    builds: store.builds,
    listContent: (result, selectors) => listContent(runner.sourceOf(result), selectors),
  });
  return {
    explain: (miss) => {
      const { digest, options } = miss.vertex;
      const reasons = reasonsOrNone(() => explainer.explain(miss));
      const { range } = options;
      recorder.note(digest, { reasons: JSON.stringify(reasons), ...(range === undefined ? {} : { range }) });
      const step = recorder.stepOf(digest);
      // At once, so that after a build that is killed it is known as the one that did not end.
      if (step !== undefined) store.builds.recordStep(rest.buildID, { ...step, status: 'running' });
      // A first build would say it of every step.
      if (reasons.length === 0 || reasons[0]?.kind === 'first-build') return;
      emit({ type: 'reason', vertex: digest, timeMs: now(), message: summarizeReasons(reasons) });
    },
    onResult: (vertex, result) => {
      if (result.id !== undefined) recorder.note(vertex.digest, { result: result.id });
      const step = recorder.stepOf(vertex.digest);
      store.db.transaction(() => {
        explainer.save(vertex, result);
        // At once, so that a build that is killed tells what it has done.
        if (step !== undefined)
          store.builds.recordStep(rest.buildID, { ...step, status: 'completed', endedAtMs: now() });
      });
    },
  };
}
