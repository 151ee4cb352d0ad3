// From what the frontend knows of an image to its whole config: the layers' diffIDs, a history that accounts for each of
// them, and the times of what was made here. The rules are those of BuildKit's exporter.
import type { HistoryEntry, ImageConfig } from '../../frontend/image-config.ts';
import type { Digest } from '../../solver/digest.ts';
import { formatTimestamp } from './timestamp.ts';

interface ConfigLayer {
  readonly diffID: Digest;
  /** When the layer was made: the time of its history entry, unless that has one. */
  readonly createdAtMs: number;
}

/** What of a config is the build's own choice. */
export interface CompleteConfigOptions {
  /** Stands for the time of everything that has none: SOURCE_DATE_EPOCH in seconds. */
  readonly sourceDateEpoch?: number;
}

/** The config with diffIDs, history and times. Equal layers with equal times make an equal config. */
export function completeConfig(
  config: ImageConfig,
  layers: readonly ConfigLayer[],
  { sourceDateEpoch }: CompleteConfigOptions = {},
): ImageConfig {
  const times = layers.map(({ createdAtMs }) => formatTimestamp((sourceDateEpoch ?? createdAtMs / 1000) * 1000));
  const accounted = accountForLayers(config.history, times);
  const history = fillTimes(timeLayers(accounted, times), sourceDateEpoch);
  const created = config.created ?? history.findLast((entry) => entry.created !== undefined)?.created;
  return {
    ...config,
    ...(created === undefined ? {} : { created }),
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffID }) => diffID) },
    history,
  };
}

/** As many entries with a layer as there are layers: surplus ones count as empty, missing ones are added. */
function accountForLayers(history: readonly HistoryEntry[], times: readonly string[]): readonly HistoryEntry[] {
  let count = 0;
  const bounded = history.map((entry) => {
    if (entry.empty_layer === true) return entry;
    count += 1;
    return count > times.length ? { ...entry, empty_layer: true } : entry;
  });
  const missing = times.slice(Math.min(count, times.length));
  return [...bounded, ...missing.map((created) => ({ created, comment: 'buildkit.exporter.image.v0' }))];
}

function timeLayers(history: readonly HistoryEntry[], times: readonly string[]): readonly HistoryEntry[] {
  let layer = 0;
  return history.map((entry) => {
    if (entry.empty_layer === true) return entry;
    const created = entry.created ?? times[layer];
    layer += 1;
    return created === undefined ? entry : { ...entry, created };
  });
}

/** An entry without a time has that of the layer before it, or of the first layer made here when it comes before all of those. */
function fillTimes(history: readonly HistoryEntry[], sourceDateEpoch: number | undefined): readonly HistoryEntry[] {
  const firstUntimed = history.findIndex((entry) => entry.created === undefined);
  if (firstUntimed === -1) return history;
  const before = history.slice(0, firstUntimed).findLast((entry) => entry.created !== undefined);
  const after = history.slice(firstUntimed).find((entry) => entry.created !== undefined);
  const epoch = sourceDateEpoch === undefined ? undefined : formatTimestamp(sourceDateEpoch * 1000);
  let created = epoch ?? after?.created ?? before?.created;
  return history.map((entry, index) => {
    if (index < firstUntimed) return entry;
    if (entry.created !== undefined) created = entry.created;
    return created === undefined ? entry : { ...entry, created };
  });
}
