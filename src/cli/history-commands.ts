// `tsbuild history` and `tsbuild explain`: what was built, what its steps wrote, and why they ran.
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import { explainReason, type Reason, summarizeReasons } from '../explain/reason.ts';
import { formatSeconds } from '../progress/step-table.ts';
import type { BuildRecord, StepRecord } from '../store/builds.ts';
import type { Store } from '../store/open-store.ts';
import { alignColumns, formatAge, jsonLine, jsonLines } from './table.ts';

/** Of `history ls`, `inspect`, `logs`, `rm` and of `explain`. */
export interface HistoryFlags {
  readonly json?: boolean;
}

const LISTED = 100;

/** The text of `tsbuild history ls`. */
export function renderBuilds({ builds }: Store, flags: HistoryFlags, nowMs: number): string {
  const list = builds.list(LISTED);
  if (flags.json === true) return jsonLines(list.map((build) => ({ ...build, ...countsOf(builds.steps(build.id)) })));
  const rows = list.map((build) => {
    const { steps, cached } = countsOf(builds.steps(build.id));
    const took = build.endedAtMs === undefined ? '' : formatSeconds(build.endedAtMs - build.startedAtMs);
    const shown = `${build.dockerfile}${build.target === undefined ? '' : ` (${build.target})`}`;
    return [build.id, build.status, formatAge(nowMs - build.startedAtMs), took, `${cached}/${steps}`, shown];
  });
  return alignColumns([['BUILD', 'STATUS', 'STARTED', 'TOOK', 'CACHED', 'DOCKERFILE'], ...rows]);
}

/** The text of `tsbuild history inspect`. */
export function renderBuild({ builds }: Store, id: string | undefined, flags: HistoryFlags): string {
  const build = findBuild(builds, id);
  const steps = builds.steps(build.id);
  if (flags.json === true) return jsonLine({ ...build, steps: steps.map(withReasons) });
  const facts = alignColumns([
    ['build', build.id],
    ['status', build.status],
    ['started', new Date(build.startedAtMs).toISOString()],
    ['took', build.endedAtMs === undefined ? '' : formatSeconds(build.endedAtMs - build.startedAtMs)],
    ['dockerfile', build.dockerfile],
    ['context', build.context ?? ''],
    ['image', build.imageDigest ?? ''],
  ]);
  const rows = steps.map((step) => [`#${step.number}`, step.status, timeOf(step), step.name.replaceAll('\n', '\\n')]);
  return `${facts}\n${alignColumns([['STEP', 'STATUS', 'TOOK', 'NAME'], ...rows])}`;
}

/** Writes the logs of a build's steps, or of one; as JSON, an object for each. */
export async function writeLogs(
  { builds }: Store,
  text: string | undefined,
  flags: HistoryFlags,
  write: (chunk: Uint8Array | string) => void,
): Promise<void> {
  const { build, steps } = findSteps(builds, text);
  const logged = steps.filter(({ logPath }) => logPath !== undefined && statSync(logPath, { throwIfNoEntry: false }));
  if (logged.length === 0) {
    throw new TsbuildError('TSB_HISTORY_NO_LOG', `build ${build.id} has no log of that`, {
      hint: 'steps that were cached wrote nothing, and the oldest logs go when the store is at its limit',
    });
  }
  for (const { number, name, logPath } of logged) {
    if (flags.json === true) {
      write(jsonLine({ build: build.id, number, name, log: readFileSync(logPath ?? '', 'utf8') }));
      continue;
    }
    if (logged.length > 1) write(`#${number} ${name}\n`);
    for await (const chunk of createReadStream(logPath ?? '')) write(chunk as Uint8Array);
    if (logged.length > 1) write('\n');
  }
}

/** Forgets builds; a line for each, or a JSON object. `all` stands for every one that has ended. What failed steps of theirs left goes as well. */
export function removeBuilds({ builds }: Store, ids: readonly string[], flags: HistoryFlags): string {
  const line = (id: string): string => (flags.json === true ? jsonLine({ id }) : `${id}\n`);
  if (ids.length === 1 && ids[0] === 'all') {
    return builds
      .list(Number.MAX_SAFE_INTEGER)
      .map(({ id }) => (builds.remove(id) ? line(id) : ''))
      .join('');
  }
  return ids
    .map((id) => {
      const build = findBuild(builds, id);
      if (builds.remove(build.id)) return line(build.id);
      throw new TsbuildError('TSB_HISTORY_IN_USE', `build ${build.id} is running`, {
        hint: 'it can be forgotten when it has ended',
      });
    })
    .join('');
}

/** The text of `tsbuild explain`. */
export function renderExplanation({ builds }: Store, text: string | undefined, flags: HistoryFlags): string {
  const { build, steps } = findSteps(builds, text);
  const explained = steps.filter((step) => text?.includes(':') === true || isOfTheGraph(step));
  if (flags.json === true) return jsonLine({ build: build.id, steps: explained.map(withReasons) });
  return explained.map((step) => explainStep(step)).join('');
}

function explainStep(step: StepRecord): string {
  const head = `#${step.number} ${step.name.replaceAll('\n', '\\n')}\n`;
  if (step.status === 'cached') return `${head}   cached\n`;
  const reasons = reasonsOf(step);
  if (reasons.length === 0) return `${head}   ran (${step.status})\n`;
  return `${head}${reasons
    .flatMap(explainReason)
    .map((line) => `   ${line}\n`)
    .join('')}`;
}

/** Steps that can be cached at all: not the reading of the Dockerfile, nor the exporting. */
function isOfTheGraph(step: StepRecord): boolean {
  return step.reasons !== undefined || step.status === 'cached';
}

function withReasons(step: StepRecord): object {
  const reasons = reasonsOf(step);
  return { ...step, reasons, ...(reasons.length === 0 ? {} : { why: summarizeReasons(reasons) }) };
}

function reasonsOf({ reasons }: StepRecord): readonly Reason[] {
  // Written by src/explain only.
  return reasons === undefined ? [] : (JSON.parse(reasons) as readonly Reason[]);
}

function findSteps(
  builds: Store['builds'],
  text: string | undefined,
): { build: BuildRecord; steps: readonly StepRecord[] } {
  const [id = '', number] = (text ?? '').split(':');
  const build = findBuild(builds, id === '' ? undefined : id);
  const steps = builds.steps(build.id);
  if (number === undefined) return { build, steps };
  const step = steps.find((one) => String(one.number) === number.replace(/^#/, ''));
  if (step !== undefined) return { build, steps: [step] };
  throw new TsbuildError('TSB_HISTORY_NO_STEP', `build ${build.id} has no step ${number}`, {
    hint: `tsbuild history inspect ${build.id} lists them`,
  });
}

function findBuild(builds: Store['builds'], id: string | undefined): BuildRecord {
  const build = id === undefined ? builds.list(1)[0] : builds.get(id);
  if (build !== undefined) return build;
  const what = id === undefined ? 'no build is on record' : `no build "${id}" is on record`;
  throw new TsbuildError('TSB_HISTORY_NO_BUILD', what, { hint: 'tsbuild history ls lists them' });
}

function countsOf(steps: readonly StepRecord[]): { readonly steps: number; readonly cached: number } {
  const graph = steps.filter(isOfTheGraph);
  return { steps: graph.length, cached: graph.filter(({ status }) => status === 'cached').length };
}

function timeOf({ startedAtMs, endedAtMs }: StepRecord): string {
  return endedAtMs === undefined ? '' : formatSeconds(endedAtMs - startedAtMs);
}
