// The `created_by` texts and entries of an image's history, exactly as BuildKit's Dockerfile frontend writes them.

import { formatDuration, formatList } from './go-format.ts';
import type { HealthcheckConfig, HistoryEntry } from './image-config.ts';

const COMMENT = 'buildkit.dockerfile.v0';

/** What an instruction leaves behind: a layer of its own, or only a change of the config. */
export type HistoryKind = 'layer' | 'empty';

/** One entry of ours. `created` is left out until the exporter knows the time, except under SOURCE_DATE_EPOCH. */
export function historyEntry(createdBy: string, kind: HistoryKind, epochMs: number | undefined): HistoryEntry {
  return {
    ...(epochMs !== undefined && { created: formatTime(epochMs) }),
    created_by: createdBy,
    comment: COMMENT,
    ...(kind === 'empty' && { empty_layer: true }),
  };
}

/** RFC 3339 in UTC, without a fraction when it is zero, as Go's encoding/json writes times. */
function formatTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.?0*Z$/, 'Z');
}

/** `RUN |2 A=1 B= /bin/sh -ec true # buildkit`: every build arg so far, then the command. */
export function runText(
  args: readonly string[],
  buildArgs: readonly { readonly key: string; readonly value: string | undefined }[],
  environment: ReadonlyMap<string, string>,
): string {
  const values = new Map(buildArgs.map(({ key, value }) => [key, environment.get(key) ?? value ?? '']));
  const pairs = [...values].map(([key, value]) => `${key}=${value}`);
  const counted = pairs.length === 0 ? [] : [`|${pairs.length}`, ...pairs];
  return `RUN ${[...counted, ...args].join(' ')} # buildkit`;
}

/** `{Test:[CMD-SHELL echo hi] Interval:5s …}`. */
export function healthcheckText(check: HealthcheckConfig): string {
  const durations = (['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const).map(
    (name) => `${name}:${formatDuration(check[name] ?? 0)}`,
  );
  return `HEALTHCHECK {Test:${formatList(check.Test ?? [])} ${durations.join(' ')} Retries:${check.Retries ?? 0}}`;
}
